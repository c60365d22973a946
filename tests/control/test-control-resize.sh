#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# resize with open connections: each keeps the size that it negotiated.  Beyond
# a shrunk end, a read gets EINVAL and a write ENOSPC; after a grow, the
# negotiated end still holds.  What a shrink cut off reads as zeros after a
# grow, and its memory is free.

. "$(dirname "$0")/../functions.sh"

serve control=control
python <<'END'
from controltest import *
c = Control()
c.call("disk_create", name="d", size=8 * MiB)
old = connect("d")
data = pattern(8 * MiB)
old.pwrite(data, 0)

end = 3 * MiB + 100
check("shrink", c.call("disk_resize", name="d", size=end),
      {"name": "d", "size": end, "old_size": 8 * MiB})
check("the connection keeps its size", old.get_size(), 8 * MiB)
refused("read past the end", errno.EINVAL, old.pread, 1, end)
refused("read across the end", errno.EINVAL, old.pread, 2, end - 1)
refused("write past the end", errno.ENOSPC, old.pwrite, b"x", end)
refused("write across the end", errno.ENOSPC, old.pwrite, b"xx", end - 1)
refused("zero past the end", errno.ENOSPC, old.zero, 512, 4 * MiB)
refused("trim past the end", errno.ENOSPC, old.trim, 4096, 4 * MiB)
refused("block status past the end", errno.EINVAL, extents_once, old, 4096,
        4 * MiB)
check("before the end all is as it was", old.pread(100, end - 100),
      data[end - 100:end])
old.pwrite(b"y", end - 1)
check("and can be written", old.pread(1, end - 1), b"y")
new = connect("d")
check("a new connection", new.get_size(), end)
check("memory", c.info("d")["mapped"], 3 * MiB + PAGE)

c.call("disk_resize", name="d", size=20 * MiB)
big = connect("d")
check("after the grow", (old.get_size(), new.get_size(), big.get_size()),
      (8 * MiB, end, 20 * MiB))
check("zeros beyond", big.pread(1 * MiB, end), bytes(1 * MiB))
check("up to the end", big.pread(512, 20 * MiB - 512), bytes(512))
big.pwrite(b"end", 20 * MiB - 3)
refused("the old end stands", errno.EINVAL, new.pread, 1, end)
refused("for writes too", errno.ENOSPC, new.pwrite, b"x", end)
refused("and for the first", errno.EINVAL, old.pread, 1, 8 * MiB)
check("within it is one disk", (old.pread(1, end - 1), old.pread(4, end)),
      (b"y", bytes(4)))
old.pwrite(b"again", 5 * MiB)
check("old writes where it may again", big.pread(5, 5 * MiB), b"again")

c.call("disk_resize", name="d", size=0)
check("to nothing", (connect("d").get_size(), c.info("d")["mapped"]), (0, 0))
refused("nothing can be read", errno.EINVAL, old.pread, 1, 0)
c.call("disk_resize", name="d", size=(1 << 63) - 1)
check("to the largest", connect("d").get_size(), (1 << 63) - 1)
check("and it is empty", old.pread(4096, 0), bytes(4096))

# A disk that was made by connecting stays once it was resized.
h = connect("ephemeral")
c.call("disk_resize", name="ephemeral", size=5)
h.shutdown()
check("resized stays", c.info("ephemeral")["size"], 5)
# A read-only one can be resized.
c.call("disk_create", name="ro", size=1 * MiB, readonly=True)
c.call("disk_resize", name="ro", size=2 * MiB)
check("read-only", c.info("ro")["size"], 2 * MiB)
END

step "resizes at the same time: each is told once, in the order they happened"
python <<'END'
import threading
from controltest import *
c = Control()
c.call("disk_create", name="many", size=0)
s = Control()
s.call("subscribe", events=["resized"])

answers = []
def resize(k):
    c = Control()
    for i in range(100):
        r = c.call("disk_resize", name="many", size=(i * 4 + k + 1) * PAGE)
        answers.append((r["old_size"], r["size"]))
threads = [threading.Thread(target=resize, args=(k,)) for k in range(4)]
for t in threads:
    t.start()
size, told = 0, []
for i in range(400):
    e = s.event()
    check("the size before resize %d" % i, e["old_size"], size)
    size = e["size"]
    told.append((e["old_size"], size))
for t in threads:
    t.join()
check("the size in the end", c.info("many")["size"], size)
check("answers and events", sorted(answers), sorted(told))
END
