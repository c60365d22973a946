#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# FAST_ZERO is offered and never refused, on any content.

. "$(dirname "$0")/../functions.sh"

serve size=16M
python <<'END'
h = connect("d")
check("can_fast_zero", h.can_fast_zero(), True)
fast = nbd.CMD_FLAG_FAST_ZERO
for flags in fast, fast | nbd.CMD_FLAG_NO_HOLE, fast | nbd.CMD_FLAG_FUA:
    h.pwrite(pattern(3 * LEAF), 100)
    h.zero(3 * LEAF - 5, 103, flags)
    check("content, flags %d" % flags, h.pread(3 * LEAF, 100),
          pattern(3) + bytes(3 * LEAF - 5) + pattern(3 * LEAF)[-2:])
    h.zero(16 * MiB, 0, flags)
    check("again, flags %d" % flags, mapped(h), 0)
END
