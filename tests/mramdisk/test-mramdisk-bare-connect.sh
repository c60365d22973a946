#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Opening a disk takes no page of memory.

. "$(dirname "$0")/../functions.sh"

serve size=1G max-memory=1M
python <<'END'
# More disks than max-memory has pages.
h = [connect("disk %d" % i) for i in range(300)]
for c in h:
    c.pread(1, 1 * GiB - 1)
stored = 0
try:
    while True:
        h[7].pwrite(b"x", stored * PAGE)
        stored += 1
except nbd.Error as e:
    check("errno", e.errno, "ENOSPC")
if stored < 245:
    raise SystemExit("FAIL: %d pages could be stored, expected nearly 256" %
                     stored)
check("disks", len(names()), 301)
END
