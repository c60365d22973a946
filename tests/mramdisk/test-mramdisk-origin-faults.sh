#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks over an origin when something is wrong: an origin that stays away, that
# has bad places, that does not fit in memory; disks that are replaced, shrunk
# and grown meanwhile.

. "$(dirname "$0")/../functions.sh"

requires_filter blocksize-policy delay ddrescue error
cat >faults.py <<'END'
import json, socket
from nbdtest import *

def call(method, expected=None, **params):
    s = socket.socket(socket.AF_UNIX)
    s.connect("ctl")
    s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                          "params": params}).encode() + b"\n")
    answer = json.loads(s.makefile().readline())
    if expected:
        check("error of " + method, answer["error"]["message"], expected)
        return None
    check("error of " + method, answer.get("error"), None)
    return answer["result"]

def origin(name):
    return call("disk_info", name=name)["origin"]

def is_image(what, h, at, n):
    while n > 0:
        part = min(n, MiB)
        check("%s at %d" % (what, at), h.pread(part, at), image[at:at + part])
        at, n = at + part, n - part

image = open("image", "rb").read()
END
PYTHONPATH=$tmp:$PYTHONPATH
export PYTHONPATH
/usr/bin/python3 -c 'import random
open("image", "wb").write(random.Random(3).randbytes(8 << 20))'
# faulty: a script in nbdsh; the plain module comes with it.
faulty ()
{
  nbdsh -c 'from faults import *' -c "$(cat)" || fail "see above"
}

step "an origin that stays away: EIO, after a while"
start_server gone file image
start_server lost "$mramdisk" "disk=d,origin=$(uri '' gone)"
nbdsh -c 'from nbdtest import *' -c '
h = connect("d", server="lost")
h.pread(1, 0)
open("began", "w").close()
import os, time
while not os.path.exists("killed"):
    time.sleep(0.05)
refused("what was not fetched", errno.EIO, h.pread, 10, 4 * MiB)
refused("a part of a page", errno.EIO, h.pwrite, b"part", 5 * MiB)
h.pwrite(bytes(4096), 5 * MiB)
check("a whole page", h.pread(4096, 5 * MiB), bytes(4096))
check("what was fetched", h.pread(1, 0), open("image", "rb").read(1))' &
waiting=$!
for ((i = 0; i < 1200; i++)); do
  [ -e began ] && break
  running "$waiting" || break
  pause 0.05
done
kill_server gone
touch killed                    # the others go on meanwhile

step "one bad place: only that place fails"
printf '0x0 + 1\n0x0 0x310000 +\n0x310000 0x1000 -\n0x311000 0x4ef000 +\n' >map
start_server bad --filter=ddrescue file image ddrescue-mapfile=map
serve "disk=d,origin=$(uri '' bad)" control=ctl
faulty <<'END'
bad = 0x310000
h = connect("d")
is_image("before", h, 0, bad)
is_image("after", h, bad + PAGE, len(image) - bad - PAGE)
refused("the bad page", errno.EIO, h.pread, PAGE, bad)
refused("a request with it", errno.EIO, h.pread, 3 * PAGE, bad - PAGE)
refused("a part of it", errno.EIO, h.pwrite, b"part", bad + 100)
is_image("the page before", h, bad - PAGE, PAGE)
h.pwrite(b"w" * PAGE, bad)
check("once it was written", h.pread(3 * PAGE, bad - PAGE),
      image[bad - PAGE:bad] + b"w" * PAGE +
      image[bad + PAGE:bad + 2 * PAGE])
check("errors are counted", origin("d")["errors"] > 0, True)
END
rm -f ctl
stop_server s
stop_server bad

step "origins of no bytes, of a few, of large blocks, and of errors only"
start_server none null 0
start_server few data data='"abc"'
start_server large --filter=blocksize-policy memory 1M blocksize-minimum=64k \
  blocksize-preferred=64k blocksize-maximum=1M blocksize-error-policy=error
start_server errors --filter=error memory 4M error-pread-rate=100%
serve control=ctl parallel=yes
for name in none few large errors; do
  eval "export uri_$name=\$(uri '' $name)"
done
faulty <<'END'
for name, size in ("none", 0), ("few", 3), ("large", MiB), ("errors", 4 * MiB):
    call("disk_create", name=name, origin=os.environ["uri_" + name])
    h = connect(name)
    check("size of " + name, h.get_size(), size)
    if name == "errors":
        refused("a read", errno.EIO, h.pread, 1, 0)
        refused("a part of a page", errno.EIO, h.pwrite, b"x", 0)
        h.pwrite(b"x" * PAGE, 0)
        check("what was written", h.pread(1, 0), b"x")
    elif size:
        check("the end of " + name, h.pread(3, size - 3),
              b"abc" if name == "few" else bytes(3))
        h.pwrite(b"z", size - 1)
        check("the end of " + name, h.pread(2, size - 2),
              b"bz" if name == "few" else b"\0z")
    call("disk_resize", name=name, size=0)
    call("disk_resize", name=name, size=2 * MiB)
    check("grown", connect(name).pread(MiB, 0), bytes(MiB))
END
rm -f ctl
for name in s none few large errors; do
  stop_server $name
done

step "shrunk, grown, trimmed, written at the seam"
start_server up file image
serve control=ctl parallel=yes max-memory=64M origin-memory=1M
URI=$(uri '' up)
export URI
faulty <<'END'
uri = os.environ["URI"]
call("disk_create", name="d", origin=uri)
call("disk_resize", name="d", size=5 * MiB + 100)
call("disk_resize", name="d", size=9 * MiB)
h = connect("d")
check("the seam", h.pread(8192, 5 * MiB), image[5 * MiB:5 * MiB + 100] +
      bytes(8092))
h.pwrite(b"seam", 5 * MiB + 98)
check("a write over the seam", h.pread(200, 5 * MiB),
      image[5 * MiB:5 * MiB + 98] + b"seam" + bytes(98))
check("beyond the origin", h.pread(MiB, 8 * MiB), bytes(MiB))
h.trim(MiB, MiB)
check("trimmed", h.pread(MiB, MiB), bytes(MiB))
is_image("around it", h, 0, MiB)
is_image("around it", h, 2 * MiB, 2 * MiB)
call("disk_create", name="short", origin=uri, size=MiB + 5)
is_image("a disk that is smaller", connect("short"), 0, MiB + 5)
call("disk_create", name="long", origin=uri, size=20 * MiB)
h = connect("long")
is_image("a disk that is larger", h, 0, 8 * MiB)
check("its end", h.pread(MiB, 19 * MiB), bytes(MiB))

# Two disks over one server, and clones: each shows what it should.
call("disk_create", name="other", origin=uri)
a, b = connect("d"), connect("other")
a.pwrite(b"a" * PAGE, 7 * MiB)
is_image("the other disk", b, 6 * MiB, 2 * MiB)
call("disk_create", "origin: %s: it is this server itself: a loop" %
     ("nbd+unix:///d?socket=%s/s.sock" % os.environ["tmp"]), name="loop",
     origin="nbd+unix:///d?socket=%s/s.sock" % os.environ["tmp"])
end = origin("other")
check("origin-memory holds", end["memory"] <= MiB, True)

print("- eviction while clones read")
call("disk_create", name="golden", origin=uri, readonly=True)
handles = []
for i in range(4):
    call("disk_clone", source="golden", name="vm-%d" % i)
    handles.append(connect("vm-%d" % i))
for step in range(3 * 16):
    pending = []
    for i, h in enumerate(handles):
        at = (step * (i + 1) + i) % 16 * MiB // 2
        buf = nbd.Buffer(MiB // 2)
        pending.append((h, h.aio_pread(buf, at), buf, at))
    for h, cookie, buf, at in pending:
        while not h.aio_command_completed(cookie):
            h.poll(-1)
        check("a clone at %d" % at, bytes(buf.to_bytearray()) ==
              image[at:at + MiB // 2], True)
check("there was eviction", origin("golden")["evicted"] > 0, True)
END
rm -f ctl
stop_server s

step "memory that is full, with nothing to evict: writes fail, reads do not"
serve control=ctl parallel=yes max-memory=8M
faulty <<'END'
call("disk_create", name="golden", origin=os.environ["URI"])
call("disk_create", name="plain", size=100 * MiB)
h, g = connect("plain"), connect("golden")
is_image("before", g, 0, 8 * MiB)
at = 0
try:
    while True:
        h.pwrite(b"p" * MiB, at)
        at += MiB
except nbd.Error as e:
    check("the error", e.errno, "ENOSPC")
try:
    while True:
        h.pwrite(b"p" * PAGE, at)
        at += PAGE
except nbd.Error as e:
    check("the error", e.errno, "ENOSPC")
check("all of the origin was evicted for it", origin("golden")["memory"], 0)
is_image("with full memory", g, 0, 8 * MiB)
refused("a part of a page", errno.ENOSPC, g.pwrite, b"part", 100)
is_image("after it", g, 0, MiB)
END
rm -f ctl
stop_server s
stop_server up

step "a clone that is replaced while it fetches"
start_server slow --filter=delay file image rdelay=500ms
serve control=ctl parallel=yes
URI=$(uri '' slow)
faulty <<'END'
call("disk_create", name="golden", origin=os.environ["URI"], readonly=True)
call("disk_create", name="plain", size=8 * MiB)
call("disk_clone", source="golden", name="vm")
h = connect("vm")
buf = nbd.Buffer(MiB)
cookie = h.aio_pread(buf, 3 * MiB)
h.poll(0)
call("disk_clone", source="plain", name="vm", if_exists="replace")
check("the new one", connect("vm").pread(MiB, 3 * MiB), bytes(MiB))
call("disk_destroy", name="golden")
while not h.aio_command_completed(cookie):
    h.poll(-1)
check("what was asked for", bytes(buf.to_bytearray()) ==
      image[3 * MiB:4 * MiB], True)
check("the old one goes on", h.pread(100, 6 * MiB),
      image[6 * MiB:6 * MiB + 100])

print("- an origin that cannot be reached, over the control socket")
uri = "nbd+unix:///?socket=%s/nobody" % os.environ["tmp"]
s = socket.socket(socket.AF_UNIX)
s.connect("ctl")
s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "disk_create",
                      "params": {"name": "x", "origin": uri}}).encode() +
          b"\n")
error = json.loads(s.makefile().readline())["error"]
check("it names the URI", error["message"].startswith("origin: %s: " % uri),
      True)
check("its errno", error["data"]["errno"], "EIO")
check("nothing was made", "x" in names(), False)
END
stop_server s
stop_server slow

step "and the one that stays away"
wait "$waiting" || fail "see above"
stop_server lost
