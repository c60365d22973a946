#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# All that a client's write waits for the secondary is one wait: the secondary
# is given up when the sum exceeds mnbd-max-stall, although each answer comes
# well before that.

. "$(dirname "$0")/../mirror-functions.sh"

# Each answer takes 0.9 s, and a write that waited for all of them would return
# after many seconds, from a mirror that never lost its secondary.
waits='mnbd-max-stall=2 mnbd-request-timeout=100000'
slow='do=slow,ms=900'

# gives_up: the client's write, standard input, returns only because the
# secondary was lost.
gives_up ()
{
  { cat <<'END'; cat; cat <<'END2'; } | mirror
from mnbdtest import Log, all_end, tell
h = connect()
END
s = status()
check("lost", (s["outages"], s["last_error"]),
      (1, "the secondary is lost: a client's request waited for it for longer "
       "than mnbd-max-stall allows: Connection timed out"))
tell("clear")
tell("drop")
synchronised()
same()
END2
}

# The trial is over before the first window with data is copied, and with this
# rate no second one follows.
step "a window that is copied in many pieces"
fault_server u --set size=20M
start_mirror "$mramdisk" size=20M $waits mnbd-start=false mnbd-rate=1
gives_up <<END
for i in range(0, 4 * MiB, 8192):
    h.pwrite(b"a" * 4096, 16 * MiB + i)
control.call("mirror_start")
while status()["bytes_sent"] == 0:
    time.sleep(0.02)
tell("fault on=any,$slow")
log = Log()
control.call("mirror_rate", rate=1 << 40)
while not log.new("extents"):
    time.sleep(0.02)
h.pwrite(b"b" * 4 * MiB, 16 * MiB)
END
stop_server s
end_fault_server u

step "a window that is compared in many pieces"
fault_server u --set 'size=16M,extents=[[16777216,0]]'
start_mirror "$mramdisk" size=16M $waits
wait_mirror synchronised
gives_up <<END
tell("fault on=read,$slow")
log = Log()
control.call("mirror_verify")
while not any(n > 4096 for _, _, n in log.new("read")):
    time.sleep(0.02)            # the job's test reads are small
h.pwrite(b"c" * 4096, 15 * MiB)
END
stop_server s
end_fault_server u

step "writes to the same bytes, one after the other"
fault_server u --set size=4M
start_mirror "$mramdisk" size=4M $waits
wait_mirror synchronised
gives_up <<END
tell("fault on=write,$slow")
buf = nbd.Buffer.from_bytearray(bytearray(b"d" * 4096))
cookies = [h.aio_pwrite(buf, 4096) for i in range(12)]
all_end(h, cookies)
END
stop_server s
end_fault_server u

# Each overlaps only the one before it.
step "writes that wait for others that wait"
fault_server u --set size=4M,multi_conn=1
start_mirror "$mramdisk" size=4M $waits
wait_mirror synchronised
gives_up <<END
tell("fault on=write,$slow")
small = nbd.Buffer.from_bytearray(bytearray(b"e" * 4096))
large = nbd.Buffer.from_bytearray(bytearray(b"f" * 65536 * 2))
log = Log()
cookies = [h.aio_pwrite(small, 65536)]
while not log.new("write"):
    h.poll(10)
cookies += [h.aio_pwrite(large, 4096 + 65536 * i) for i in range(6)]
all_end(h, cookies)
END
stop_server s
end_fault_server u

step "what the primary takes does not count"
fault_server u --set size=4M
fault_server d --set size=4M
start_mirror "$builddir/mnbd.so" socket="$tmp/d.sock" mnbd-max-stall=10
wait_mirror synchronised
mirror <<'END'
from mnbdtest import all_end, tell
h = connect()
tell("fault on=write,do=slow,ms=3500", "d")
buf = nbd.Buffer.from_bytearray(bytearray(b"g" * 4096))
cookies = [h.aio_pwrite(buf, 4096) for i in range(4)]
all_end(h, cookies)
check("lost", status()["outages"], 0)
tell("clear", "d")
END
stop_server s
end_fault_server d
end_fault_server u
