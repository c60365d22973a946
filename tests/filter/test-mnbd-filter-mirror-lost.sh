#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The secondary is killed and comes back: clients notice nothing, what differs
# is copied, no more, and then both are the same.  Also one that comes back
# empty, or with other data, or as another disk.

. "$(dirname "$0")/../mirror-functions.sh"

volatile_server u --size=67108864
start_mirror "$mramdisk" size=64M
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"a" * (32 * MiB), 0)
h.flush()
END
synchronised_and_same

step "in steady state"
kill_child u
mirror <<'END'
h = connect()
h.pwrite(b"b" * 100, 5 * MiB)
h.zero(100, 9 * MiB)
h.flush()
h.pwrite(b"c" * 70000, 20 * MiB)
s = status()
check("state", s["state"], "degraded")
check("out of sync", s["bytes_out_of_sync"], (1 + 1 + 2) * 65536)
check("outages", s["outages"], 1)
check("why", s["last_error"].startswith("the secondary is lost: "), True)
END
volatile_server u --size=67108864
mirror <<'END'
before = status()["bytes_sent"]
s = synchronised()
check("sent", s["bytes_sent"] - before <= 4 * 65536, True)
same()
END

step "idle: it is noticed without a request"
kill_child u
wait_mirror degraded
volatile_server u --size=67108864
synchronised_and_same

step "with writes that were not flushed"
mirror <<'END'
h = connect()
h.flush()
h.pwrite(b"d" * MiB, 40 * MiB)
h.pwrite(b"e" * 100, 3 * MiB)
END
kill_child u
wait_mirror degraded
volatile_server u --size=67108864
synchronised_and_same

step "during a copy"
kill_child u
rm u.img
volatile_server u --size=67108864
stop_server s
start_server d "$mramdisk" size=64M
fill d f 48 4
start_mirror "$builddir/mnbd.so" socket="$tmp/d.sock" mnbd-rate=1M
mirror <<'END'
while status()["bytes_sent"] < 2 * MiB:
    time.sleep(0.01)
check("state", status()["state"], "copying")
END
kill_child u
wait_mirror degraded
mirror <<'END'
h = connect()
h.pwrite(b"g" * 200000, 100)
h.flush()
s = status()
# What it had not flushed is to be copied again.
check("out of sync", s["bytes_out_of_sync"], 64 * MiB)
control.call("mirror_rate", rate=None)
END
volatile_server u --size=67108864
synchronised_and_same
stop_server s
stop_server d
kill_child u
rm -f u.sock

step "a RAM disk that was started anew is empty"
start_server u "$mramdisk" size=64M
start_mirror "$mramdisk" size=64M
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"h" * 3000000, 1234567)
h.flush()
same()
END
crash_server u
mirror <<'END'
connect().pwrite(b"i" * 10, 60 * MiB)
check("state", status()["state"], "degraded")
check("out of sync", status()["bytes_out_of_sync"] <= 65536 * 48, True)
END
start_server u "$mramdisk" size=64M
synchronised_and_same

step "one with other data is copied to in full"
crash_server u
wait_mirror degraded
start_server u data '( 1 )*67108864'
synchronised_and_same
grep -q 'the secondary is back with other data at' s.log ||
  fail "the log does not say that it has other data"

step "one of another size is refused"
crash_server u
wait_mirror degraded
start_server u "$mramdisk" size=32M
said ()
{
  grep -qF "the secondary's size is 33554432 bytes, expected the primary's, \
67108864" s.log
}
wait_for "the log says that the size is wrong" said
mirror_is degraded || fail "it says $(mirror_state)"
stop_server u
start_server u "$mramdisk" size=64M
synchronised_and_same
stop_server s
stop_server u

step "a connection is closed while a write is late on another"
fault_server u --set size=67108864
start_mirror "$mramdisk" size=64M mnbd-connections=2
mirror <<'END'
from mnbdtest import tell

late = 1.5
synchronised()
h = connect()
tell("fault on=write,do=late,ms=%d,times=1" % (late * 1000))
tell("fault on=read,do=close,times=1")     # the next look if it is there
h.pwrite(b"old." * 1024, 0)
while status()["outages"] < 1:
    time.sleep(0.02)
synchronised()
h.pwrite(b"new!" * 1024, 0)
time.sleep(2 * late)
synchronised()
same()
END
