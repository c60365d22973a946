#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdcopy copies in both directions and preserves holes.

. "$(dirname "$0")/../functions.sh"

requires nbdcopy
truncate -s 64M image
for offset in 0 1000 5000 16383; do
  dd if=/dev/urandom of=image bs=4k count=3 seek=$offset conv=notrunc 2>err
done
truncate -s 64M image
serve size=64M
start_server other "$mramdisk" size=64M

step "a file into a disk"
nbdcopy image "$(uri d)"
python <<'END'
h = connect("d")
with open("image", "rb") as f:
    for offset in range(0, 64 * MiB, MiB):
        if h.pread(MiB, offset) != f.read(MiB):
            raise SystemExit("FAIL: the MiB at %d differs" % offset)
check("mapped", mapped(h), (3 + 3 + 3 + 1) * PAGE)
END

step "a disk into a file"
nbdcopy "$(uri d)" copy
cmp image copy || fail "the copy differs from the image"
[ "$(du -k copy | cut -f1)" -le 1024 ] ||
  fail "the copy takes $(du -k copy | cut -f1) KiB, expected it to be sparse"

step "a disk into a disk, of one server and of two"
nbdcopy "$(uri d)" "$(uri twin)"
nbdcopy --flush "$(uri d)" "$(uri far other)"
python <<'END'
a, b, c = connect("d"), connect("twin"), connect("far", server="other")
check("extents of the twin", extents(b), extents(a))
check("extents at the other server", extents(c), extents(a))
END
nbdcopy "$(uri far other)" - | cmp - image || fail "the second copy differs"

step "allocated zeros, where they are asked for"
nbdcopy --allocated image "$(uri allocated)"
python <<'END'
states = set(state for n, state in extents(connect("allocated")))
check("no holes", "hole" in states, False)
END
nbdcopy "$(uri allocated)" - | cmp - image || fail "the allocated copy differs"
