#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Requests of any length cross pages, leaves and 4 GiB, byte by byte.

. "$(dirname "$0")/../functions.sh"

serve size=64G
python <<'END'
h = connect("d")
GAP = 3 * PAGE
boundaries = (PAGE, 64 * PAGE, LEAF, 17 * LEAF, 1024 * LEAF, 4 * GiB,
              4 * GiB + LEAF, 8 * GiB)
seed = 0
for b in boundaries:
    for before, after in ((1, 0), (0, 1), (1, 1), (2, 5), (511, 513),
                          (4095, 1), (4096, 4096), (4097, 4095),
                          (300000, 300001)):
        before = min(before, b)
        seed += 1
        what = "%d bytes before and %d after %d" % (before, after, b)
        data = pattern(before + after, seed)
        lead = min(GAP, b - before)
        h.zero(lead + before + after + GAP, b - before - lead)
        h.pwrite(data, b - before)
        # Around it all is as it was.
        check(what, h.pread(lead + before + after + GAP, b - before - lead),
              bytes(lead) + data + bytes(GAP))
        # Zero all but the first and last byte.
        if before + after > 2:
            h.zero(before + after - 2, b - before + 1)
            check(what + ", zeroed",
                  h.pread(before + after + 1, b - before),
                  data[:1] + bytes(before + after - 2) + data[-1:] + b"\0")
        # Overwrite from another start.
        h.pwrite(data[::-1], b - before)
        check(what + ", overwritten", h.pread(before + after, b - before),
              data[::-1])

# The largest request that libnbd sends.
big = pattern(32 * MiB)
h.pwrite(big, 4 * GiB - 16 * MiB - 1)
if h.pread(32 * MiB, 4 * GiB - 16 * MiB - 1) != big:
    raise SystemExit("FAIL: 32 MiB across 4 GiB do not read back")
END
