#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# destroy works as unlink(2): the name is free at once, open connections keep
# the old disk, and its memory is freed with the last of them.

. "$(dirname "$0")/../functions.sh"

serve size=8M control=control max-disks=1
python <<'END'
from controltest import *
c = Control()
def used():
    return c.call("stats")["arena"]["used"]

a, b = connect("d"), connect("d")
a.pwrite(pattern(4 * MiB), 0)
c.call("disk_destroy", name="d")
check("the name is free", c.names(), [])
check("and others cannot see the disk", "d" in names(), False)
a.pwrite(b"still here", 100)
check("those who have it go on", b.pread(10, 100), b"still here")
new = connect("d")              # max-disks=1: the old one counts no more
check("a new one is empty", extents(new), [(8 * MiB, "hole")])
new.pwrite(b"new", 100)
check("they are two", (b.pread(3, 100), new.pread(3, 100)), (b"sti", b"new"))
c.refused("ENFILE", "max-disks", "disk_create", name="e")

c.call("disk_destroy", name="d")
new.shutdown()
a.shutdown()
check("memory stays for the last", used() >= 4 * MiB, True)
check("who reads", b.pread(10, 100), b"still here")
b.shutdown()
c.wait("memory comes back", lambda: used() == 0)
check("statistics of destroyed disks stay in the total",
      c.call("stats")["total"]["write"]["ops"], 3)
END
