#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk_pull makes a disk of another server's export: with its size, its content
# and its holes, and in one step; or nothing at all.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control max-size=64M max-memory=64M max-disks=12
start_server u "$mramdisk" size=32M disk=odd,size=1000001 disk=huge,size=1G
start_server m memory size=16M      # without holes in its block status
export upstream=$tmp/u.sock other=$tmp/m.sock
python <<'END'
from controltest import *
c = Control()

def uri(name, sock="upstream"):
    return "nbd+unix:///%s?socket=%s" % (name, os.environ[sock])

def there(name, sock="upstream"):
    h = nbd.NBD()
    h.connect_uri(uri(name, sock))
    return h

def pull(name, source, **params):
    job = c.call("disk_pull", name=name, uri=source, **params)["job"]
    return c.call("job_wait", job=job, seconds=600)

def pulled(name, source, **params):
    j = pull(name, source, **params)
    check("state of the pull of " + name, (j["state"], j["error"]),
          ("done", None))
    return j

def failed(expected, name, source, **params):
    before = c.names()
    j = pull(name, source, **params)
    check("state", j["state"], "failed")
    if expected not in j["error"] or "\n" in j["error"]:
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], expected))
    check("nothing has changed", c.names(), before)

u = there("a")
data = pattern(3 * MiB)
for i in range(3):
    u.pwrite(data[i * MiB:(i + 1) * MiB], 5 * MiB + 100 + i * MiB)
j = pulled("a", uri("a"), readonly=True, quota=16 * MiB)
i = c.info("a")
check("what it is", (i["size"], i["readonly"], i["quota"], i["sector_size"]),
      (32 * MiB, True, 16 * MiB, 1))
check("mapped", i["mapped"], 3 * MiB + 4096)
check("sent", (j["kind"], j["bytes_sent"]), ("pull", 3 * MiB + 4096))
h = connect("a")
check("content", b"".join(bytes(h.pread(MiB, 5 * MiB + 100 + i * MiB))
                          for i in range(3)) == data, True)

# A server whose block status has no holes: zeros become holes all the same.
there("", "other").pwrite(b"x" * 100, 3 * MiB)
pulled("m", uri("", "other"))
check("content", bytes(connect("m").pread(100, 3 * MiB)), b"x" * 100)
check("no more than there is", c.info("m")["mapped"] <= 32 << 10, True)

# In place of another one; open connections keep that.
old = connect("old")
old.pwrite(b"old", 0)
c.refused("ENOENT", "there is no", "disk_destroy", name="none")
c.refused("EEXIST", 'name: there is a disk "old" already', "disk_pull",
          name="old", uri=uri("a"))
pulled("old", uri("a"), if_exists="replace")
check("the new one", connect("old").get_size(), 32 * MiB)
check("the old one", bytes(old.pread(3, 0)), b"old")
old.shutdown()

there("odd").pwrite(b"end", 1000001 - 3)
pulled("odd", uri("odd"))
check("odd size", (c.info("odd")["size"],
      bytes(connect("odd").pread(3, 1000001 - 3))), (1000001, b"end"))
pulled("s", uri("a"), sector_size=4096)
check("sectors", c.info("s")["sector_size"], 4096)

# Extents of the source that are finer than the disk's sectors.
for at, n in (4096, 4096), (3 * 65536 + 8192, 100), (9 * 65536, 65536 + 4096):
    there("fine").pwrite(b"f" * n, at)
pulled("fine", uri("fine"), sector_size=65536)
h, f = connect("fine"), there("fine")
check("content", [i for i in range(32) if h.pread(MiB, i * MiB) !=
                  f.pread(MiB, i * MiB)], [])
check("zeros stay holes", c.info("fine")["mapped"], 4096 * (1 + 1 + 17))
c.call("disk_destroy", name="fine")

# What is refused.
c.refused(BAD_PARAMS, "uri: x: expected the URI of an NBD server", "disk_pull",
          name="n", uri="x")
c.refused(BAD_PARAMS, "sector_size: 3: expected 1, or a power of two",
          "disk_pull", name="n", uri=uri("a"), sector_size=3)
failed("the source has 1073741824 bytes: expected at most max-size=67108864",
       "n", uri("huge"))
failed("the source has 1000001 bytes: expected a multiple of the sector size, "
       "512", "n", uri("odd"), sector_size=512)
failed("the disk's quota is reached", "n", uri("a"), quota=1 * MiB)
failed("No such file or directory", "n", "nbd+unix:///?socket=/nonexistent/s")
failed("it is this server itself: a loop", "n", "nbd+unix:///b?socket=%s"
       % os.environ["sock"])
full = connect("full")
c.call("disk_resize", name="full", size=64 * MiB)
full = connect("full")
for k in range(64):
    try:
        full.pwrite(b"f" * MiB, k * MiB)
    except nbd.Error:
        break
failed("no memory is left: max-memory is reached", "n", uri("a"))
full.shutdown()
c.call("disk_destroy", name="full")
for k in range(8):
    if len(c.names()) < 12:
        c.call("disk_create", name="filler-%d" % k)
failed("there are max-disks=12 disks already", "n", uri("a"))
c.call("disk_destroy", name="filler-0")

# While it runs there is no such disk; after a cancel neither; somebody else
# may make it.
def slow():
    job = c.call("disk_pull", name="n", uri=uri("a"), rate=1024)["job"]
    c.wait("some of it is there", lambda: c.call("job_wait", job=job)
           ["bytes_sent"] > 0)
    return job
used = c.call("stats")["arena"]["used"]
job = slow()
check("no disk yet", "n" in c.names(), False)
c.call("job_cancel", job=job)
check("cancelled", c.call("job_wait", job=job, seconds=600)["state"],
      "cancelled")
check("no disk", "n" in c.names(), False)
c.wait("its memory is free again",
       lambda: c.call("stats")["arena"]["used"] <= used + (64 << 10))
job = c.call("disk_pull", name="n", uri=uri("a"), rate=4 * MiB)["job"]
c.call("disk_create", name="n")
j = c.call("job_wait", job=job, seconds=600)
check("somebody was sooner", (j["state"], j["error"]),
      ("failed", 'name: there is a disk "n" already'))
check("it is the other one", c.info("n")["size"], 1 * MiB)
END
