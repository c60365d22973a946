#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A filter beneath that opens the plugin again, as nbdkit's retry does, gets the
# export of the mirror or the cache again, and the same disk or none.

. "$(dirname "$0")/../mirror-functions.sh"
requires_filter retry error

retry=(retries=100 retry-delay=1 retry-exponential=no error-rate=100%
  error-file="$tmp/now")

# The job and the workers fail in threads of their own, clients in theirs.
for what in extents pread; do
  step "a mirror whose primary fails for a while: $what"
  start_server u "$mramdisk" size=8M
  start_mirror --filter=retry --filter=error "$mramdisk" size=8M disk=a \
    disk=b,size=4M default=b mnbd-exports=a mnbd-start=false "${retry[@]}" \
    error-rate=0 error-$what-rate=100% error-$what=EIO
  what=$what mirror <<'END'
h = connect("a")
h.pwrite(b"x" * MiB, MiB)
open("now", "w").close()
control.call("mirror_start")
end = time.monotonic() + 60
while "injecting" not in open("s.log").read():
    check("in time", time.monotonic() < end, True)
    time.sleep(0.05)
os.unlink("now")
synchronised()
check("the export", connect(server="u").pread(3, MiB), b"xxx")
open("now", "w").close()
timer = __import__("threading").Timer(0.5, os.unlink, ["now"])
timer.start()
check("a client", h.pread(3, MiB), b"xxx")
timer.join()
h.pwrite(b"later", 0)
check("mirrored", connect(server="u").pread(5, 0), b"later")
check("compared", verify()["bytes_differing"], 0)
END
  stop_server s
  stop_server u
done

step "a cache whose plugin fails for a while"
start_server u "$mramdisk" size=8M
start_server s --filter="$filter" --filter=retry --filter=error "$mramdisk" \
  size=8M disk=a disk=b,size=4M default=b mnbd-exports=a \
  mnbd-mode=cache mnbd-socket="$tmp/u.sock" mnbd-cache=writeback \
  mnbd-cache-dirty-age=1 "${retry[@]}" error-rate=0 \
  error-pread-rate=100% error-pread=EIO
python <<'END'
import threading
h = connect("a")
h.pwrite(b"w" * 100000, 0)
# A worker reads it to write it back, and a client reads it.
open("now", "w").close()
timer = threading.Timer(2, os.unlink, ["now"])
timer.start()
check("read", h.pread(100000, 0), b"w" * 100000)
timer.join()
h.flush()
check("written back", connect(server="u").pread(100000, 0), b"w" * 100000)
END
stop_server s
stop_server u

step "the disk is replaced before it is opened again"
start_server u "$mramdisk" size=8M
rm -f now
start_mirror --filter=retry --filter=error "$mramdisk" size=8M \
  control="$tmp/disks" retries=3 retry-delay=1 retry-exponential=no \
  error-file="$tmp/now" error-pread-rate=100% error-pread=EIO
mirror <<'END'
disks = Control(os.environ["tmp"] + "/disks")
h = connect()
h.pwrite(b"old", 0)
synchronised()
disks.call("disk_create", name="", size=8 * MiB, if_exists="replace")
open("now", "w").close()
refused("no other disk is read", None, h.pread, 3, 0)
os.unlink("now")
refused("nor later", None, h.pread, 3, 0)
check("the copy", connect(server="u").pread(3, 0), b"old")
END
grep -q 'the disk of that name was replaced' s.log || fail "$(cat s.log)"
