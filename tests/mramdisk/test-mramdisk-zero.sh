#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Write-zeroes creates holes, or allocated zeros with NO_HOLE.

. "$(dirname "$0")/../functions.sh"

serve size=16M
python <<'END'
h = connect("d")
data = pattern(8 * PAGE)
for flags, state in (0, "hole"), (nbd.CMD_FLAG_NO_HOLE, "zero"):
    h.trim(16 * MiB, 0)
    h.pwrite(data, 0)
    h.zero(2 * PAGE, PAGE, flags)
    check("whole pages, flags %d" % flags, extents(h, 8 * PAGE),
          [(PAGE, "data"), (2 * PAGE, state), (5 * PAGE, "data")])
    check("content", h.pread(8 * PAGE, 0),
          data[:PAGE] + bytes(2 * PAGE) + data[3 * PAGE:])

    # Parts of pages are zeroed too; the rest of those pages stays.
    h.pwrite(data, 0)
    h.zero(PAGE + 200, PAGE - 100, flags)
    check("not aligned, flags %d" % flags, h.pread(8 * PAGE, 0),
          data[:PAGE - 100] + bytes(PAGE + 200) + data[2 * PAGE + 100:])
    check("its map", extents(h, 8 * PAGE),
          [(PAGE, "data"), (PAGE, state), (6 * PAGE, "data")])

    h.zero(100, 10, flags)
    check("inside a page", h.pread(PAGE, 0),
          data[:10] + bytes(100) + data[110:PAGE - 100] + bytes(100))

    # On holes.
    h.trim(16 * MiB, 0)
    h.zero(3 * LEAF, PAGE, flags)
    check("on holes, flags %d" % flags, [e for e in extents(h, 3 * LEAF, PAGE)],
          [(3 * LEAF, state)])
    check("nothing is mapped", mapped(h), 0)

    # What was zeroed can be written.
    h.pwrite(b"x", LEAF)
    check("a write into it", h.pread(3, LEAF - 1), b"\0x\0")
    check("and its map", extents(h, 3 * PAGE, LEAF - PAGE),
          [(PAGE, state), (PAGE, "data"), (PAGE, state)])
END
