#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The size, and everything else that the upstream offers, is a promise to the
# connected clients only.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

cat >size.py <<'END'
def size(h=None):
    return (h or connect()).get_size() // MiB
END
sizes ()
{
  cat size.py - >sizes.py
  python <sizes.py
}


step "shared=true: who comes when nobody is there gets what there is now"
fault_server u
start_forwarder socket="$tmp/u.sock" shared=true reconnect=1
sizes <<'END'
import time
h = connect()
check("the first size", size(h), 16)
tell("set size=32M")
check("beside another client", size(), 16)
h.pwrite(b"x", 0)
h.flush()
h.shutdown()
def soon(what, expected):
    for i in range(200):
        if size() == expected:
            return
        time.sleep(0.1)
    check(what, size(), expected)
soon("larger", 32)
h = connect()
check("at the end", h.pread(1, 32 * MiB - 1), b"\0")
check("what was there", h.pread(1, 0), b"x")
h.shutdown()
tell("set size=8M")
soon("smaller", 8)
tell("set readonly=yes")
for i in range(200):
    if connect().is_read_only():
        break
    time.sleep(0.1)
check("read-only", connect().is_read_only(), True)
tell("set readonly=no")
for i in range(200):
    if not connect().is_read_only():
        break
    time.sleep(0.1)
h = connect()
h.pwrite(b"again", 0)
h.flush()
check("content", h.pread(5, 0), b"again")
END

step "… after an outage in which nobody was there"
python <<'END'
import time
time.sleep(0.5)
tell("down")
tell("set size=48M")
h = connect()                   # shared=true: what was there is promised
check("size", h.get_size(), 8 * MiB)
tell("up")
refused("that server", errno.ESHUTDOWN, h.pread, 1, 0)
h.shutdown()
for i in range(200):
    if connect().get_size() == 48 * MiB:
        break
    time.sleep(0.1)
check("size", connect().get_size(), 48 * MiB)
END
stop_server s
end_fault_server u

# A client that leaves 4096 bytes at 12 MiB, which are not flushed, in an outage
# after which the server has another size.
leave ()
{
  fault_server u
  start_forwarder socket="$tmp/u.sock" reconnect=500ms
  python <<'END'
h = connect()
h.pwrite(b"k" * 4096, 12 * MiB)
tell("down")
refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
END
  sent=$(requests u write | wc -l)
  tell u set size="$1"
  tell u up
}

sent_again ()
{
  [ "$(requests u write | wc -l)" -gt "$sent" ]
}

step "what waits for a server that comes back larger is sent to it"
leave 32M
wait_for "the write" sent_again
wait_for "the flush" grep -q '"flush"' u.jsonl
python <<'END'
h = connect()
check("size", h.get_size(), 32 * MiB)
check("content", h.pread(4096, 12 * MiB), b"k" * 4096)
h.flush()
END
stop_server s
end_fault_server u

step "… but not to one that is smaller, until it is itself again"
leave 8M
wait_for "its refusal" grep -q 'refused because it has changed: its size' s.log
sent_again && fail "it was sent: $(requests u write)"
tell u set size=16M
wait_for "the write" sent_again
stop_server s
end_fault_server u

step "… and a client that takes the smaller one is told"
leave 14M
wait_for "its refusal" grep -q 'refused because it has changed: its size' s.log
python <<'END'
h = connect()
check("size", h.get_size(), 14 * MiB)
refused("the first flush", errno.EIO, h.flush)
h.flush()
h.pwrite(b"new", 0)
h.flush()
connect().flush()
END
sent=$((sent + 1))
sent_again && fail "it was sent all the same: $(requests u write)"
grep -q '1 acknowledged writes of 4096 unflushed bytes are lost' s.log ||
  fail "not logged: $(cat s.log)"
stop_server s
end_fault_server u

step "… nor to one that is read-only, which is no reason to lose it"
fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=500ms
python <<'END'
import time
h = connect()
h.pwrite(b"k" * 4096, 0)
tell("down")
refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
h.shutdown()
tell("set readonly=yes")
tell("up")
# As soon as the first one has gone.
for i in range(200):
    try:
        connect()
    except nbd.Error:
        break
    time.sleep(0.1)
refused("a client", None, connect)
tell("set readonly=no")
END
sent=1
wait_for "the write" sent_again
stop_server s
end_fault_server u

step "a server that takes one client at a time"
type qemu-nbd >/dev/null 2>&1 || { echo "left out: there is no qemu-nbd"; exit 0; }
truncate -s 1M one.img
qemu-nbd -t -e 1 -f raw -k "$tmp/q.sock" one.img >q.log 2>&1 &
child q $!
wait_for "qemu-nbd" [ -S q.sock ]
start_forwarder socket="$tmp/q.sock" shared=true
for i in 1 2; do
  python <<'END'
h = connect()
check("size", h.get_size(), MiB)
h.pwrite(b"x", 0)
h.flush()
END
done
