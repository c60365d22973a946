#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A primary that fails: its clients get its errors, the job says what happened
# and goes on when it is told to; so with a RAM disk that is resized beneath.

. "$(dirname "$0")/../mirror-functions.sh"

step "an error while it is read"
start_server u "$mramdisk" size=8M
fault_server p --set size=8388608
start_mirror "$builddir/mnbd.so" socket="$tmp/p.sock"
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"1" * (2 * MiB), MiB)
h.flush()
END
mirror <<'END'
from mnbdtest import tell
h = connect()
tell("fault on=write,do=error,errno=EIO,times=1", "p")
tell("fault on=read,do=error,errno=EIO", "p")
refused("write", errno.EIO, h.pwrite, b"2" * 100, 2 * MiB)
refused("read", errno.EIO, h.pread, 100, 0)
s = wait_state("failed")
check("error", s["last_error"],
      "the primary cannot be read at 2097152: Input/output error")
check("out of sync", s["bytes_out_of_sync"], 65536)
tell("clear", "p")
# Other places are mirrored all the same.
h.pwrite(b"3" * 100, 6 * MiB)
check("there", bytes(connect(server="u").pread(3, 6 * MiB)), b"333")
control.refused("EBUSY", "expected synchronised, or force", "mirror_stop")
check("start", control.call("mirror_start", resume=True)["started"], True)
synchronised()
same()
END
stop_server s
end_fault_server p
stop_server u

step "a flush that fails is told to all whose writes it was to save"
start_server u "$mramdisk" size=8M
fault_server p --set size=8388608
start_mirror "$builddir/mnbd.so" socket="$tmp/p.sock"
mirror <<'END'
from mnbdtest import tell
synchronised()
a, b = connect(), connect()
a.pwrite(b"a", 0)
b.pwrite(b"b", 4096)
tell("fault on=flush,do=error,errno=EIO,times=1", "p")
refused("the flush", errno.EIO, a.flush)
refused("the other's", errno.EIO, b.flush)
a.flush()
b.flush()
connect().flush()
END
stop_server s
end_fault_server p
stop_server u

step "no room on the primary"
start_server u "$mramdisk" size=8M
start_mirror "$mramdisk" size=8M max-memory=4M
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"4" * (2 * MiB), 0)
refused("write", errno.ENOSPC, h.pwrite, b"5" * (6 * MiB), 2 * MiB)
synchronised()
same()
END
stop_server s
stop_server u

step "a secondary without room"
start_server u "$mramdisk" size=8M max-memory=4M
start_mirror "$mramdisk" size=8M
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"6" * (6 * MiB), 0)
h.flush()
s = status()
check("state", s["state"] == "synchronised", False)
check("why", "No space left" in s["last_error"], True)
h.trim(5 * MiB, MiB)
synchronised()
same()
END
stop_server s
stop_server u

step "the RAM disk beneath is resized"
start_server u "$mramdisk" size=8M
start_mirror "$mramdisk" size=8M control="$tmp/disks"
mirror <<'END'
synchronised()
disks = Control(os.environ["tmp"] + "/disks")
h = connect()
h.pwrite(b"7" * (8 * MiB), 0)
same()
disks.call("disk_resize", name="", size=16 * MiB)
h.pwrite(b"8" * 100, 8 * MiB - 100)
u = connect(server="u")
check("there", bytes(u.pread(200, 8 * MiB - 200)), b"7" * 100 + b"8" * 100)
refused("a client with the new size", None, connect)
check("state", status()["state"], "synchronised")

disks.call("disk_resize", name="", size=4 * MiB)
check("before the end", bytes(h.pread(1, 0)), b"7")
refused("beyond the end", errno.ENOSPC, h.pwrite, b"9", 6 * MiB)
s = wait_state("failed")
check("error", s["last_error"].startswith("the primary cannot be read at "),
      True)
h.pwrite(b"a" * 100, 0)
check("there", bytes(u.pread(2, 0)), b"aa")
# As large as it was, it can go on; it reads as zeros where it was cut.
disks.call("disk_resize", name="", size=8 * MiB)
control.call("mirror_start")
synchronised()
check("cut", bytes(u.pread(2, 7 * MiB)), b"\0\0")
same()
END
grep -qF "the primary's size is 16777216 bytes now: expected the mirror's, \
8388608" s.log || fail "the log does not say why the client was refused"
