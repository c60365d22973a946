#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two connections to one name see one disk; two names are two disks.

. "$(dirname "$0")/../functions.sh"

serve size=1M
python <<'END'
a1, a2, b = connect("a"), connect("a"), connect("b")

a1.pwrite(b"hello", 4094)
check("the other connection to a", a2.pread(7, 4093), b"\0hello\0")
check("b", b.pread(7, 4093), bytes(7))

b.pwrite(b"other", 4094)
check("a after a write to b", a1.pread(5, 4094), b"hello")

a2.trim(1 * MiB, 0)
check("a1 after a trim by a2", a1.pread(5, 4094), bytes(5))
check("b after a trim of a", b.pread(5, 4094), b"other")

a1.pwrite(b"hello", 4094)
# What differs in one byte, in case, or in a space is another name.
for name in "A", "a ", "a/", "ä", "0", "x" * 100:
    check("size of %r" % name, connect(name).get_size(), 1 * MiB)
    check("content of %r" % name, connect(name).pread(5, 4094), bytes(5))
END
