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
    h.flush()
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
