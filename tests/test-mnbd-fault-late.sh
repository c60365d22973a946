#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A connection is lost while the server, which is well, still has a request in
# hand that it will carry out late.  It must not undo what is written later.

. "$(dirname "$0")/mnbd-functions.sh"
only_mnbd

late=1500                       # ms

# ended(h, cookies): the server has lost a connection while these were in flight.
# What is written after them must stay.
ended='
import nbd, time

old = nbd.Buffer.from_bytearray(bytearray(b"old." * 1024))
new = b"new!" * 1024

def ended(h, *cookies):
    for c in cookies:
        while not h.aio_command_completed(c):
            h.poll(-1)
    for offset in 0, 4096:
        h.pwrite(new, offset)
    time.sleep(2 * '$late' / 1000)
    for offset in 0, 4096:
        check("what was written last", h.pread(4096, offset)[:4], new[:4])
'

step "another connection is closed"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=2 reconnect=30
python <<END
$ended
h = connect()
tell("fault on=write,do=late,ms=$late,times=1")
tell("fault on=read,do=close,times=1")
c = h.aio_pwrite(old, 0)
while tell("count write") != "1":
    time.sleep(0.01)
h.pread(4096, 4096)             # goes to the other one
ended(h, c)
END
grep -qF '"fault": "on=read,do=close' u.jsonl || fail "nothing was closed"
stop_server s
end_fault_server u

step "the connection itself breaks the protocol"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=1 reconnect=30
python <<END
$ended
h = connect()
tell("fault on=cache,do=late,ms=500")
tell("fault on=write,do=magic,times=1")
tell("fault on=write,do=late,ms=$late,times=1")
cookies = [h.aio_cache(4096, 0)] # while this is late, the others come in
while tell("count cache") != "1":
    time.sleep(0.01)
cookies.append(h.aio_pwrite(old, 4096))
cookies.append(h.aio_pwrite(old, 0))
ended(h, *cookies)
END
grep -q 'does not keep to the protocol: it sent something that is no' s.log ||
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
$ended
h = connect()
c = h.aio_pwrite(nbd.Buffer(64 << 20), 0)
while h.aio_get_direction() & nbd.AIO_DIRECTION_WRITE:
    h.poll(100)
tell("fault on=read,do=close,times=1")
connect().pread(4096, 0)
ended(h, c)
END
! grep -q '"event": "request", "conn": 1, "cmd": "write"' u.jsonl ||
  fail "all of the write was waited for"
stop_server s
end_fault_server u

step "with TLS: no answer within request-timeout"
if nbdkit --dump-config | grep -q ^tls=yes && type -P psktool >/dev/null; then
  psktool -u alice -p keys.psk >out 2>&1
  truncate -s 1M disk
  # The script gets the number of bytes as $3, and where they go as $4.
  # shellcheck disable=SC2016
  start_server u --tls=require --tls-psk="$tmp/keys.psk" eval \
    get_size='echo 1M' can_write='exit 0' thread_model='echo parallel' \
    pread="dd if='$tmp/disk' skip=\$4 count=\$3 iflag=skip_bytes,count_bytes" \
    pwrite="cd '$tmp'
            if rm slow; then cat >old; sleep 7; cat old; else cat; fi 2>/dev/null |
            dd of=disk seek=\$4 oflag=seek_bytes conv=notrunc"
  start_forwarder socket="$tmp/u.sock" tls=require tls-psk="$tmp/keys.psk" \
    tls-username=alice request-timeout=5 reconnect=30
  : >slow
  python <<END
$ended
h = connect()
ended(h, h.aio_pwrite(old, 0))
END
  grep -q 'did not answer within request-timeout' s.log || fail "$(cat s.log)"
else
  echo "without: nbdkit has no TLS, or there is no psktool"
fi
