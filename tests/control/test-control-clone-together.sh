#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Several disks are cloned at one instant, and their clones appear together, or
# not at all.

. "$(dirname "$0")/../functions.sh"

serve size=8M control=control max-disks=1000
# Counters that go from one disk to the next: at any instant each is the one
# before it, or one less.
cat >writer.py <<'END'
from nbdtest import *
import itertools
disks = [connect("d%d" % i) for i in range(4)]
for n in itertools.count(1):
    for h in disks:
        h.pwrite(struct.pack("<Q", n), 4096 * (n % 3))
END
python <<'END'
from controltest import *
import subprocess
from nbdtest import *
c = Control()
for i in range(4):
    connect("d%d" % i).pwrite(bytes(12288), 0)
writer = subprocess.Popen(["nbdsh", "-c", "exec(open('writer.py').read())"])
connect("other").pwrite(b"x", 0)
names = ["c%d" % i for i in range(4)]
# In the order in which they are written, and the other way round.
orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]
def counter(name):
    h = connect(name)
    r = max(struct.unpack("<Q", h.pread(8, 4096 * k))[0] for k in range(3))
    h.shutdown()
    return r
c.wait("the writer has begun", lambda: counter("d3") > 0)
last = 0
try:
    for k in range(30):
        order = orders[k % 3]
        sources, clones = [], []
        for i in order:
            # Clones of another disk in between take time, in which the writer
            # would come far.
            sources += ["other"] * 200 + ["d%d" % i]
            clones += ["o%d-%d" % (i, j) for j in range(200)] + ["c%d" % i]
        r = c.call("disk_clone_together", sources=sources, names=clones,
                   if_exists="replace", readonly=True)
        n = [counter(name) for name in names]
        if not all(b <= a <= b + 1 for a, b in zip(n, n[1:])) or \
                n[0] > n[3] + 1:
            raise SystemExit("FAIL: not of one instant: %r" % n)
        if n[3] < last:
            raise SystemExit("FAIL: older than the last: %r" % n)
        last = n[3]
    check("status of the writer", writer.poll(), None)
finally:
    writer.kill()
    writer.wait()
check("it has written", last > 1, True)
check("names", r, {"names": clones})
for name in c.names():
    if name[0] == "o":
        c.call("disk_destroy", name=name)
i = c.info("c0")
check("what they are", (i["readonly"], i["quota"], i["size"]),
      (True, None, 8 * MiB))

# One disk twice.
connect("d0").pwrite(b"both", 0)
c.call("disk_clone_together", sources=["d0", "d0"], names=["x", "y"], quota=8192)
check("both", [bytes(connect(n).pread(4, 0)) for n in "xy"], [b"both"] * 2)
check("quota", c.info("x")["quota"], 8192)
connect("x").pwrite(b"mine", 0)
check("each goes its way", bytes(connect("y").pread(4, 0)), b"both")

# All or nothing.
before = c.names()
def refused(code, text, **params):
    c.refused(code, text, "disk_clone_together", **params)
    check("nothing has changed", c.names(), before)
refused("ENOENT", 'sources: there is no disk "none"', sources=["d0", "none"],
        names=["n1", "n2"])
refused("EEXIST", 'names: there is a disk "d1" already', sources=["d0", "d0"],
        names=["n1", "d1"])
refused(BAD_PARAMS, 'names: "n" is given twice', sources=["d0", "d1"],
        names=["n", "n"])
refused(BAD_PARAMS, "names: there are 1: expected one for each of the 2 "
        "sources", sources=["d0", "d1"], names=["n"])
refused("ENAMETOOLONG", "expected at most 4096 bytes", sources=["d0", "d1"],
        names=["n", "n" * 4097])
refused("ENFILE", "there are max-disks=1000 disks already",
        sources=["d0"] * 1000, names=["n%d" % i for i in range(1000)])
h = connect("y")
refused(-32009, 'the disk "y" is in use by 1 client', sources=["d0", "d1"],
        names=["n", "y"], if_exists="replace", if_open="error")
h.shutdown()
END
ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control
check "mblockctl" "$($ctl clone-together d0 s0 d1 s1 --readonly)" \
  "cloned s0
cloned s1"
refused $ctl clone-together d0 s0 d1
grep -q 'expected pairs of SOURCE and NAME' refused
