#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk_push sends a disk as it is at one instant to another server: all of it,
# or what has changed since a snapshot; holes stay holes.

. "$(dirname "$0")/../functions.sh"

serve size=64M control=control disk=odd,size=1000001
start_server d "$mramdisk" size=64M control="$tmp/d.control"
start_server m "$mramdisk" size=32M disk=small,size=1M \
  disk=ro,readonly=yes,size=64M disk=big,size=80M
start_server f "$mramdisk" size=64M max-memory=2M
export dest=$tmp/d.sock other=$tmp/m.sock full=$tmp/f.sock
python <<'END'
from controltest import *
import random
c, d = Control(), Control(os.environ["tmp"] + "/d.control")

def uri(name, sock="dest"):
    return "nbd+unix:///%s?socket=%s" % (name, os.environ[sock])

def there(name, sock="dest"):
    h = nbd.NBD()
    h.connect_uri(uri(name, sock))
    return h

def whole(h):
    size = h.get_size()
    return b"".join(h.pread(min(MiB, size - i), i)
                    for i in range(0, size, MiB))

def push(name, to, **params):
    job = c.call("disk_push", name=name, uri=to, **params)["job"]
    j = c.call("job_wait", job=job, seconds=600)
    check("kind, disk", (j["job"], j["kind"], j["disk"], j["target"]),
          (job, "push", name, to))
    return j

def pushed(name, to, **params):
    j = push(name, to, **params)
    check("state of the push of " + name, (j["state"], j["error"]),
          ("done", None))
    return j

def failed(expected, name, to, **params):
    j = push(name, to, **params)
    check("state", j["state"], "failed")
    if expected not in j["error"] or "\n" in j["error"]:
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], expected))

a = connect("a")
a.pwrite(pattern(3 * MiB), 5 * MiB + 100)
a.zero(4 * MiB, 20 * MiB, nbd.CMD_FLAG_NO_HOLE)
a.pwrite(b"end", 64 * MiB - 3)
j = pushed("a", uri("a"), verify=True)
check("content", whole(there("a")) == whole(a), True)
check("holes stay holes", d.info("a")["mapped"], c.info("a")["mapped"])
check("sent", j["bytes_sent"], c.info("a")["mapped"])

# What the destination had elsewhere becomes zeros.
there("b").pwrite(b"x" * MiB, 40 * MiB)
pushed("a", uri("b"), verify=True)
check("content", whole(there("b")) == whole(a), True)
check("zeros are no data", d.info("b")["mapped"], c.info("a")["mapped"])

# Since a snapshot only the difference; also what is a hole again.
owned = c.info("a")["owned"]
c.call("disk_clone", source="a", name="s1", readonly=True)
a.pwrite(b"new", 6 * MiB)
a.pwrite(b"newer", 30 * MiB - 2)
a.trim(1 * MiB, 7 * MiB)
owned = c.info("a")["owned"]
j = pushed("a", uri("b"), since="s1", verify=True)
check("sent", j["bytes_sent"], 3 * 4096)
check("content", whole(there("b")) == whole(a), True)
check("holes", d.info("b")["mapped"], c.info("a")["mapped"])
check("a push takes nothing from what the disk owns", c.info("a")["owned"],
      owned)
j = pushed("a", uri("b"), since="s1")
check("again, as after a push that was killed", whole(there("b")) == whole(a),
      True)
c.call("disk_clone", source="a", name="s2", readonly=True)
check("nothing has changed", pushed("a", uri("b"), since="s2")["bytes_sent"],
      0)

# Grown and shrunk since.  The destination is larger: that stays as it is.
h = there("big", "other")
h.pwrite(b"mine", 72 * MiB)
h.pwrite(b"old" * 1000, 65 * MiB)
pushed("a", uri("big", "other"))
c.call("disk_resize", name="a", size=70 * MiB)
connect("a").pwrite(b"grown", 69 * MiB)
pushed("a", uri("big", "other"), since="s2", verify=True)
h = there("big", "other")
check("grown", (h.pread(5, 69 * MiB), h.pread(4, 72 * MiB)),
      (b"grown", b"mine"))
check("what was there beyond the old end", h.pread(3000, 65 * MiB),
      bytes(3000))
c.call("disk_clone", source="a", name="s3", readonly=True)
c.call("disk_resize", name="a", size=64 * MiB)
pushed("a", uri("big", "other"), since="s3", verify=True)
h = there("big", "other")
check("shrunk: the old end is zeros", (h.pread(5, 69 * MiB),
      h.pread(4, 72 * MiB)), (bytes(5), b"mine"))

# A size that is no multiple of anything.
o = connect("odd")
o.pwrite(pattern(1000001), 0)
h = there("big", "other")
h.pwrite(b"z" * 100, 1000000)
pushed("odd", uri("big", "other"), verify=True)
h = there("big", "other")
check("odd size", bytes(h.pread(1000001, 0)) == pattern(1000001) and
      bytes(h.pread(99, 1000001)) == b"z" * 99, True)

# What is refused.
c.refused("ENOENT", 'name: there is no disk "none"', "disk_push", name="none",
          uri=uri("a"))
c.refused("ENOENT", 'since: there is no disk "none"', "disk_push", name="a",
          uri=uri("a"), since="none")
c.refused(BAD_PARAMS, "uri: /dev/null: expected the URI of an NBD server",
          "disk_push", name="a", uri="/dev/null")
c.refused(BAD_PARAMS, "uri: nbds://h/?tls-psk-file=k: expected no "
          "tls-psk-file= in the URI", "disk_push", name="a",
          uri="nbds://h/?tls-psk-file=k")
failed("the destination is read-only: expected one that can be written", "a",
       uri("ro", "other"))
failed("the destination has 1048576 bytes: expected at least the disk's size, "
       "67108864", "a", uri("small", "other"))
failed(" of the destination: No space left on device", "a", uri("a", "full"))
failed("No such file or directory", "a", "nbd+unix:///?socket=/nonexistent/s")
failed("it is this server itself: a loop", "a", "nbd+unix:///b?socket=%s"
       % os.environ["sock"])
connect("stranger").pwrite(pattern(MiB), 0)
failed("since: that disk shares no data with the one to push", "a", uri("b"),
       since="stranger")
c.call("disk_create", name="over", origin=uri("a"))
failed("since: that disk shares no data with the one to push", "a", uri("b"),
       since="over")
there("b").pwrite(b"w" * MiB, 5 * MiB)
failed("since: the destination does not have the content of that snapshot", "a",
       uri("b"), since="s2")

# Jobs: unknown ones, the list, a cancel that comes too late, a rate.
c.refused("ENOENT", "job: there is no job 999", "job_wait", job=999)
c.refused("ENOENT", "job: there is no job 999", "job_cancel", job=999)
jobs = c.call("job_list")["jobs"]
check("list", all(x["state"] in ("done", "failed") for x in jobs) and
      [x["job"] for x in jobs] == sorted(x["job"] for x in jobs), True)
check("too late", c.call("job_cancel", job=jobs[0]["job"]),
      {"job": jobs[0]["job"]})
check("it stays done", c.call("job_wait", job=jobs[0]["job"])["state"], "done")

slow = c.call("disk_push", name="a", uri=uri("slow"), rate=1024)["job"]
c.wait("copying", lambda: c.call("job_wait", job=slow)["phase"] == "copying")
j = c.call("job_wait", job=slow)
check("it runs", (j["state"], j["rate_limit"], j["seconds"] >= 0),
      ("running", 1024, True))
before = c.call("stats")["arena"]["used"]
c.call("job_cancel", job=slow)
j = c.call("job_wait", job=slow, seconds=600)
check("cancelled", (j["state"], j["error"]), ("cancelled", None))
# One instant: what is written meanwhile is not sent.
slow = c.call("disk_push", name="a", uri=uri("slow"), rate=4 << 20)["job"]
now = whole(connect("a"))
for i in range(64):
    connect("a").pwrite(b"later", i * MiB)
check("done", c.call("job_wait", job=slow, seconds=600)["state"], "done")
check("of one instant", whole(there("slow")) == now, True)
# A limit of the rate.
connect("limited").pwrite(pattern(4 * MiB), 8 * MiB)
began = time.monotonic()
pushed("limited", uri("limited"), rate=MiB)
not_before("a push", began, 2.5)
began = time.monotonic()
job = c.call("disk_pull", name="pulled", uri=uri("limited"), rate=MiB)["job"]
check("state", c.call("job_wait", job=job, seconds=600)["state"], "done")
not_before("a pull", began, 2.5)
check("content", whole(connect("pulled")) == whole(there("limited")), True)
# A job that runs keeps nobody from ending the server.
c.call("disk_push", name="a", uri=uri("slow"), rate=1024)
END
stop_server s
