#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trim frees whole pages of 4 KiB and leaves the rest unchanged.

. "$(dirname "$0")/../functions.sh"

serve size=16M disk=odd,size=10000
python <<'END'
h = connect("d")
data = pattern(8 * PAGE)

h.pwrite(data, 0)
h.trim(2 * PAGE, PAGE)
check("whole pages are holes", extents(h, 8 * PAGE),
      [(PAGE, "data"), (2 * PAGE, "hole"), (5 * PAGE, "data")])
check("and read as zeros", h.pread(8 * PAGE, 0),
      data[:PAGE] + bytes(2 * PAGE) + data[3 * PAGE:])

h.pwrite(data, 0)
h.trim(PAGE + 200, PAGE - 100)
check("of a range that is not aligned only the page inside", extents(h,
      8 * PAGE), [(PAGE, "data"), (PAGE, "hole"), (6 * PAGE, "data")])
check("its edges are left alone", h.pread(8 * PAGE, 0),
      data[:PAGE] + bytes(PAGE) + data[2 * PAGE:])

h.pwrite(data, 0)
h.trim(PAGE - 1, 0)
h.trim(PAGE, PAGE // 2)
check("no whole page, no change", h.pread(8 * PAGE, 0), data)
check("no hole", extents(h, 8 * PAGE), [(8 * PAGE, "data")])

h.zero(8 * PAGE, 0, nbd.CMD_FLAG_NO_HOLE)
h.trim(4 * PAGE, 0)
check("allocated zeros become holes", extents(h, 8 * PAGE),
      [(4 * PAGE, "hole"), (4 * PAGE, "zero")])

h.pwrite(pattern(3 * LEAF), PAGE)
h.trim(16 * MiB, 0)
check("the whole disk", extents(h), [(16 * MiB, "hole")])
h.pwrite(b"again", 4094)
check("it can be written again", h.pread(9, 4092), b"\0\0again\0\0")

h.trim(1 * MiB, 8 * MiB)
check("a trim of a hole", extents(h)[-1][1], "hole")

h = connect("odd")
h.pwrite(pattern(10000), 0)
h.trim(10000, 0)
check("the last part of a page goes too when the disk ends in it", extents(h),
      [(10000, "hole")])
END
