#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks over an origin, another server's export.

. "$(dirname "$0")/../functions.sh"

requires nbdcopy cmp
/usr/bin/python3 -c '
import random
r = random.Random(1)
with open("image", "wb") as f:
    f.truncate((20 << 20) - 512)
    for at in range(0, 20, 4):
        f.seek(at << 20)
        f.write(r.randbytes(1 << 20))'
start_server up file image
origin=$(uri '' up)

step "clones show the image, which is fetched once"
serve "disk=golden,origin=$origin,readonly=yes" "disk=large,origin=$origin,\
size=32M" "disk=small,size=1M,sector-size=4096,origin=$origin" \
  template=golden auto-destroy=yes control=ctl
for name in golden vm-1 vm-2; do
  nbdcopy "$(uri $name)" copy
  cmp copy image || fail "$name differs from the image"
done
python <<'END'
import json, socket
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

image = open("image", "rb").read()
uri = "nbd+unix:///?socket=%s/up.sock" % os.environ["tmp"]
origin = call("disk_info", name="golden")["origin"]
check("uri", origin["uri"], uri)
check("state", origin["state"], "lazy")
check("known", origin["known"], len(image))
check("fetched", origin["fetched"], 5 * MiB)
check("memory", origin["memory"], 5 * MiB)

# Each clone has its own content; a trim reads as zeros.
a, b = connect("a"), connect("b")
a.pwrite(b"x" * 700, 100)
a.trim(64 * KiB, MiB // 2)
a.zero(PAGE, 4 * MiB + 5)
want = bytearray(image[:8 * MiB])
want[100:800] = b"x" * 700
want[MiB // 2:MiB // 2 + 64 * KiB] = bytes(64 * KiB)
want[4 * MiB + 5:4 * MiB + 5 + PAGE] = bytes(PAGE)
for i in range(8):
    check("a at %d" % i, a.pread(MiB, i * MiB), want[i * MiB:(i + 1) * MiB])
    check("b at %d" % i, b.pread(MiB, i * MiB), image[i * MiB:(i + 1) * MiB])
check("extents of b", extents(b, 8 * MiB),
      [(MiB, "data"), (3 * MiB, "hole"), (MiB, "data"), (3 * MiB, "hole")])
check("what a owns", call("disk_info", name="a")["owned"] <= 3 * PAGE, True)

# Beyond the image there are zeros, also in its last page.
large = connect("large")
check("the seam", large.pread(MiB, 20 * MiB - MiB // 2),
      image[-(MiB // 2 - 512):] + bytes(512 + MiB // 2))
small = connect("small")
check("small", small.pread(MiB, 0), image[:MiB])
check("size", small.get_size(), MiB)

# Over the control socket; a complete origin is let go.
call("disk_create", name="whole", origin=uri, prefetch=True)
become("whole", lambda: call("disk_info", name="whole")["origin"]["state"],
       "complete")
check("whole", connect("whole").pread(MiB, 16 * MiB),
      image[16 * MiB:17 * MiB])
call("disk_create", name="cut", origin=uri, size=1 << 20)
h = connect("cut")
h.cache(MiB, 0)
check("cached", call("disk_info", name="cut")["origin"]["fetched"] >= MiB, True)

step = print
step("- a limit of the rate")
began = time.monotonic()
call("disk_create", name="limited", origin=uri, prefetch=True,
     prefetch_rate=MiB)
become("limited", lambda: call("disk_info", name="limited")["origin"]["state"],
       "complete")
not_before("5 MiB", began, 3)

step("- what cannot be")
me = "nbd+unix:///a?socket=%s/s.sock" % os.environ["tmp"]
call("disk_create", "origin: %s: it is this server itself: a loop" % me,
     name="x", origin=me)
call("disk_create", "prefetch, prefetch_rate: expected origin as well",
     name="x", prefetch=True)
call("disk_create", "size: %d: expected a multiple of the sector size, 4096" %
     len(image), name="x", origin=uri, sector_size=4096)
check("nothing was made", "x" in names(), False)
END
start_server r "$mramdisk" control=r.ctl \
  "disk=limited,origin=$origin,prefetch=yes,prefetch-rate=1M"
python <<'END'
from controltest import *
c = Control("r.ctl")

def origin():
    return c.info("limited")["origin"]

began, known = time.monotonic(), origin()["fetched"]
become("limited", lambda: origin()["state"], "complete")
not_before("the rest of 5 MiB", began, (5 * MiB - known) / MiB - 1.5)
END
stop_server r
kill_server up
python <<'END'
image = open("image", "rb").read()
check("without the other server", connect("whole").pread(MiB, 8 * MiB),
      image[8 * MiB:9 * MiB])
END
stop_server s

refused_start "disk=d,prefetch=: expected origin= as well" \
  "$mramdisk" disk=d,prefetch=yes
refused_start "disk=d,prefetch-rate=: expected prefetch=yes as well" \
  "$mramdisk" "disk=d,origin=$origin,prefetch-rate=1M"
refused_start "disk=d,prefetch-rate=1k: expected at least 64k, in bytes a \
second" "$mramdisk" "disk=d,origin=$origin,prefetch-rate=1k"
refused nbdkit -U - "$mramdisk" "disk=d,origin=$origin" --run true
grep -q "disk=d,origin=$origin: " refused || fail "away: $(cat refused)"
