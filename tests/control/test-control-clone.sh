#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A clone has its source's content of one instant; from then on, they are
# independent.

. "$(dirname "$0")/../functions.sh"

serve size=8M control=control
python <<'END'
from controltest import *
c = Control()
src = connect("src")
data = pattern(4 * MiB)
src.pwrite(data, 0)
c.call("disk_clone", source="src", name="copy")
c.call("disk_clone", source="src", name="snapshot", readonly=True)
copy, snap = connect("copy"), connect("snapshot")
check("size", (copy.get_size(), c.info("copy")["mapped"]), (8 * MiB, 4 * MiB))
check("content", copy.pread(4 * MiB, 0) == data, True)
check("nothing was copied", c.call("stats")["arena"]["used"] < 5 * MiB, True)

src.pwrite(b"source", 0)
copy.pwrite(b"clone", 100)
copy.trim(1 * MiB, 1 * MiB)
check("the source", (src.pread(6, 0), src.pread(5, 100), src.pread(1 * MiB,
      1 * MiB)), (b"source", data[100:105], data[MiB:2 * MiB]))
check("the clone", (copy.pread(6, 0), copy.pread(5, 100), copy.pread(1 * MiB,
      1 * MiB)), (data[:6], b"clone", bytes(1 * MiB)))
check("the snapshot", snap.pread(4 * MiB, 0) == data, True)
refused("is read-only", errno.EPERM, snap.pwrite, b"x", 0)
check("as it says", snap.is_read_only(), 1)

# A clone of a clone of a clone; the others may go.
c.call("disk_clone", source="copy", name="2")
c.call("disk_clone", source="2", name="3")
for name in "src", "copy", "2", "snapshot":
    c.call("disk_destroy", name=name)
for h in src, copy, snap:
    h.shutdown()
h = connect("3")
check("the last", (h.pread(5, 100), h.pread(100, 3 * MiB)), (b"clone",
      data[3 * MiB:3 * MiB + 100]))

# Of itself; of an empty one; a bigger one; sector size and quota.
check("in place of itself", c.call("disk_clone", source="3", name="3",
      if_exists="replace")["replaced"], True)
check("content", connect("3").pread(5, 100), b"clone")
c.call("disk_create", name="s", size=1 << 62, sector_size=4096)
c.call("disk_clone", source="s", name="t", quota=8192)
i = c.info("t")
check("inherits", (i["size"], i["sector_size"], i["quota"], i["readonly"]),
      (1 << 62, 4096, 8192, False))
check("ignore", c.call("disk_clone", source="3", name="t", if_exists="ignore"),
      {"name": "t", "created": False, "replaced": False})
check("and it is as it was", c.info("t")["size"], 1 << 62)

# The source of a clone stays, though only a connection had made it.
h = connect("ephemeral")
c.call("disk_clone", source="ephemeral", name="p2")
h.shutdown()
check("named stays", "ephemeral" in c.names(), True)

# Every write that was acknowledged before the call is in the clone.
h = connect("w")
for n in range(1, 200):
    h.pwrite(struct.pack("<I", n), (n * 37 % 500) * 4096)
    c.call("disk_clone", source="w", name="w2", if_exists="replace")
    k = connect("w2")
    check("write %d" % n, struct.unpack("<I", k.pread(4,
          (n * 37 % 500) * 4096))[0], n)
    k.shutdown()
END
