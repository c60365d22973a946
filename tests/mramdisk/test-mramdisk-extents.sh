#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Extents are data, allocated zeros or holes, at 4 KiB.

. "$(dirname "$0")/../functions.sh"

serve size=16M disk=odd,size=10000 disk=tera,size=1T
python <<'END'
h = connect("d")
check("an empty disk", extents(h), [(16 * MiB, "hole")])

# One byte maps one page.
h.pwrite(b"x", 5 * PAGE + 7)
check("one byte", extents(h), [(5 * PAGE, "hole"), (PAGE, "data"),
                               (16 * MiB - 6 * PAGE, "hole")])
h.zero(2 * PAGE, 6 * PAGE, nbd.CMD_FLAG_NO_HOLE)
h.pwrite(pattern(2 * PAGE), 9 * PAGE)
expected = [(5 * PAGE, "hole"), (PAGE, "data"), (2 * PAGE, "zero"),
            (PAGE, "hole"), (2 * PAGE, "data"), (16 * MiB - 11 * PAGE, "hole")]
check("all three", extents(h), expected)

# A page of zeros that was written is data.
h.pwrite(bytes(PAGE), 8 * PAGE)
check("written zeros", extents(h)[2:4],
      [(2 * PAGE, "zero"), (3 * PAGE, "data")])
h.trim(PAGE, 8 * PAGE)

# From any offset, to any offset.
check("from the middle of an extent", extents(h, 2 * PAGE, 5 * PAGE + 100),
      [(PAGE - 100, "data"), (PAGE + 100, "zero")])

# REQ_ONE gives one extent, not longer than was asked for.
one = nbd.CMD_FLAG_REQ_ONE
check("REQ_ONE", extents_once(h, 4 * PAGE, 5 * PAGE, one), [(PAGE, "data")])
check("REQ_ONE in zeros", extents_once(h, PAGE, 6 * PAGE, one),
      [(PAGE, "zero")])
check("REQ_ONE at the end",
      extents_once(h, PAGE, 16 * MiB - PAGE, one), [(PAGE, "hole")])
check("REQ_ONE of a byte", extents_once(h, 1, 10 * PAGE + 1, one),
      [(1, "data")])

# Pages in different leaves join into one extent.
h.pwrite(pattern(4 * PAGE), 2 * LEAF - 2 * PAGE)
check("across a leaf", extents(h, 6 * PAGE, 2 * LEAF - 3 * PAGE),
      [(PAGE, "hole"), (4 * PAGE, "data"), (PAGE, "hole")])

# The last page of a disk of an odd size.
h = connect("odd")
check("odd and empty", extents(h), [(10000, "hole")])
h.pwrite(b"x", 9999)
check("odd", extents(h), [(8192, "hole"), (1808, "data")])

# Holes and zeros of many leaves.
h = connect("tera")
h.zero(3 * GiB, 100 * GiB, nbd.CMD_FLAG_NO_HOLE)
h.pwrite(b"x", 102 * GiB)
check("large", extents(h, 5 * GiB, 99 * GiB),
      [(1 * GiB, "hole"), (2 * GiB, "zero"), (PAGE, "data"),
       (1 * GiB - PAGE, "zero"), (1 * GiB, "hole")])
END
