#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk's quota: a write beyond it gets ENOSPC and changes nothing, other disks
# are not affected, a trim makes room, and the statistics distinguish it from
# the server's limit.

. "$(dirname "$0")/../functions.sh"

serve size=8M max-memory=6M control=control
python <<'END'
from controltest import *
c = Control()
c.call("disk_create", name="d", quota=1 * MiB)
d, other = connect("d"), connect("other")

d.pwrite(b"a" * MiB, 0)
check("owned", c.info("d")["owned"], 1 * MiB)
refused("one page more", errno.ENOSPC, d.pwrite, b"b" * 4096, 2 * MiB)
refused("half of it would fit", errno.ENOSPC, d.pwrite, b"b" * 8192,
        1 * MiB - 4096)
check("nothing was changed", d.pread(8192, 1 * MiB - 4096),
      b"a" * 4096 + bytes(4096))
d.pwrite(b"c" * MiB, 0)
check("overwriting needs nothing", d.pread(MiB, 0) == b"c" * MiB, True)
d.zero(4 * MiB, 2 * MiB)
d.zero(4 * MiB, 2 * MiB, nbd.CMD_FLAG_NO_HOLE)
other.pwrite(b"o" * MiB, 0)
d.trim(64 * KiB, 0)
d.pwrite(b"d" * 65536, 3 * MiB)
refused("full again", errno.ENOSPC, d.pwrite, b"e", 0)

# More, less, none.
c.call("disk_set", name="d", quota=2 * MiB)
d.pwrite(b"f" * 4096, 0)
c.call("disk_set", name="d", quota=4096)
refused("under what it owns", errno.ENOSPC, d.pwrite, b"g", 5 * MiB)
d.pwrite(b"h", 3 * MiB)
c.call("disk_set", name="d", quota=None)
d.pwrite(b"i", 5 * MiB)

# A clone owns what it writes.
c.call("disk_clone", source="d", name="k", quota=8192)
i = c.info("k")
check("a clone owns nothing", (i["owned"], i["exclusive"]), (0, 0))
k = connect("k")
k.pwrite(b"1", 3 * MiB)
k.pwrite(b"2", 7 * MiB)
refused("its third page", errno.ENOSPC, k.pwrite, b"3", 3 * MiB + 4096)
i = c.info("k")
check("owned", (i["owned"], i["exclusive"]), (8192, 8192))
check("shared", i["shared"], i["mapped"] - 8192)

# The server's limit is counted apart.
big = connect("big")
refused("max-memory", errno.ENOSPC, big.pwrite, b"x" * (6 * MiB), 0)
refused("past the end", errno.ENOSPC, big.pwrite, b"x", 8 * MiB)
def enospc(name):
    s = c.call("stats", name=name)["disks"][0]
    return s["enospc_quota"], s["enospc_memory"]
check("d", enospc("d"), (4, 0))
check("k", enospc("k"), (1, 0))
check("big", enospc("big"), (0, 1))
t = c.call("stats")["total"]
check("total", (t["enospc_quota"], t["enospc_memory"]), (5, 1))
END
