#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A connection is lost while the server, which is healthy, still has a request
# that it will carry out late.  It must not undo what is written later.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

late=1500                       # ms; overwritten waits for longer

step "another connection is closed"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=2 reconnect=30
python <<END
h = connect()
tell("fault on=write,do=late,ms=$late,times=1")
tell("fault on=read,do=close,times=1")
c = h.aio_pwrite(OLD, 0)
while tell("count write") != "1":
    time.sleep(0.01)
h.pread(4096, 4096)             # goes to the other one
overwritten(h, c)
END
grep -qF '"fault": "on=read,do=close' u.jsonl || fail "nothing was closed"
stop_server s
end_fault_server u

step "the connection itself breaks the protocol"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=1 reconnect=30
python <<END
h = connect()
tell("fault on=cache,do=late,ms=500")
tell("fault on=write,do=magic,times=1")
tell("fault on=write,do=late,ms=$late,times=1")
cookies = [h.aio_cache(4096, 0)] # while this is late, the others come in
while tell("count cache") != "1":
    time.sleep(0.01)
cookies.append(h.aio_pwrite(OLD, 4096))
cookies.append(h.aio_pwrite(OLD, 0))
overwritten(h, *cookies)
END
grep -q 'broke the protocol: it sent something that is not a' s.log ||
  fail "$(cat s.log)"
stop_server s
end_fault_server u

step "the connection takes a write in slowly"
# Ten seconds at the least, and in pieces that keep the sender in its system
# call; that is not to be waited for.
fault_server u --set size=64M,max=64M \
  --fault on=done,do=sip,conn=1,bytes=1048576,ms=200
start_forwarder socket="$tmp/u.sock" connections=2 reconnect=30
python <<END
h = connect()
c = h.aio_pwrite(nbd.Buffer(64 << 20), 0)
while h.aio_get_direction() & nbd.AIO_DIRECTION_WRITE:
    h.poll(100)
tell("fault on=read,do=close,times=1")
connect().pread(4096, 0)
overwritten(h, c)
END
! grep -q '"event": "request", "conn": 1, "cmd": "write"' u.jsonl ||
  fail "all of the write was waited for"
