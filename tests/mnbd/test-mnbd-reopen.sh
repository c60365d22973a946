#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Acknowledged writes are kept, and a loss of some is reported, even if all
# clients have left in the meantime: because a filter above reopens, or for
# good.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

upstream ()
{
  volatile_server u --size=1048576 "$@"
}

upstream_has ()                 # TEXT: at the beginning of what is flushed
{
  [ "$(head -c ${#1} u.img | tr '\0' .)" = "$1" ]
}

none_let_in ()
{
  ! nbdinfo --size "$(uri)" >out 2>&1
}

# The client of a filter that reopens, through an outage longer than reconnect=.
# Sets $said to what it was told: "ok", or the errno of its flush.
cat >client.py <<'END'
h = connect()
h.pwrite(b"A" * 4096, 0)
open("written", "w").close()
while not os.path.exists("lost"):
    time.sleep(0.01)
try:
    h.pread(2, 0)
    h.flush()
    check("what was flushed", h.pread(2, 0), b"AA")
    print("ok")
except nbd.Error as e:
    print(e.errno)
    # It was told once.
    h.flush()
    h.pwrite(b"B" * 4096, 0)
    h.flush()
    check("what was written then", h.pread(2, 0), b"BB")
END
under_retry ()
{
  rm -f u.img written lost
  upstream
  start_forwarder --filter=retry socket="$tmp/u.sock" reconnect=500ms \
    retries=60 retry-delay=1 retry-exponential=no "$@"
  nbdsh -c 'import time' -c 'from nbdtest import *' \
    -c 'exec(open("client.py").read())' >client.out 2>&1 &
  child client $!
  wait_for "the write" [ -e written ]
  kill_child u
  touch lost
  sleep 3
  upstream
  local rc=0
  wait ${children[client]} || rc=$?
  unset "children[client]"
  said=$(cat client.out)
  check "status of the client: $said" $rc 0
  stop_server s
  kill_child u
}

if nbdkit --filter=retry null --dump-plugin >/dev/null 2>&1; then
  step "a filter that reopens: the write is sent again"
  under_retry
  check "the flush" "$said" ok

  step "… without a log the client is told, and once"
  under_retry replay-buffer=0
  check "the flush" "$said" EIO

  step "… with shared=true"
  under_retry shared=true
  check "the flush" "$said" ok
  under_retry shared=true replay-buffer=0
  check "the flush" "$said" EIO

  step "… with dynamic-export=true"
  under_retry dynamic-export=true
  check "the flush" "$said" ok
else
  echo "left out: nbdkit has no filter retry"
fi

for shared in false true; do
  step "shared=$shared: nobody is there when the server comes back"
  rm -f u.img
  upstream
  start_forwarder socket="$tmp/u.sock" reconnect=1 shared=$shared
  python <<'END'
h = connect()
h.pwrite(b"first", 0)
h.zero(512, 4096)
END
  # The flush of the background may have been earlier than this.
  kill_child u
  sleep 2
  upstream
  wait_for "the replay" upstream_has first
  python <<'END'
h = connect()
h.pwrite(b"other", 0)
h.flush()
check("content", h.pread(5, 0), b"other")
END
  stop_server s
  kill_child u

  step "shared=$shared: the last client leaves in an outage"
  rm -f u.img
  upstream
  start_forwarder socket="$tmp/u.sock" reconnect=500ms shared=$shared
  python <<'END'
import signal
h = connect()
h.pwrite(b"first", 0)
os.kill(int(open("u.vpid").read()), signal.SIGKILL)
refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
END
  kill_child u
  # As soon as the other one has gone.
  [ $shared = true ] || wait_for "the refusal of a client" none_let_in
  upstream
  wait_for "the replay" upstream_has first
  python <<'END'
h = connect()
check("content", h.pread(5, 0), b"first")
h.flush()
END
  stop_server s
  kill_child u
done

cat >loss.py <<'END'
import time

def threads():
    return len(os.listdir("/proc/%s/task" % open("s.pid").read().strip()))

def leave(before, *clients):
    """They do, and nbdkit has noticed: its threads are those of before."""
    for h in clients:
        h.shutdown()
    while threads() > before:
        time.sleep(0.01)

def flushes(h):
    try:
        h.flush()
        return "ok"
    except nbd.Error as e:
        return e.errno
END
loss ()
{
  cat loss.py - >loss-client.py
  python <loss-client.py
}

step "without a log: whoever comes in place of those that wrote is told"
rm -f u.img
upstream
# One thread for each client, so that they can be counted.
start_forwarder --threads=1 socket="$tmp/u.sock" reconnect=30 replay-buffer=0 \
  shared=true
loss <<'END'
stays = connect()
before = threads()
a, b, reader = connect(), connect(), connect()
reader.pread(1, 0)
stays.pwrite(b"1", 0)
a.pwrite(b"2", 512)
b.pwrite(b"3", 1024)
leave(before, a, b, reader)
power_cut()
check("who stayed", flushes(stays), "EIO")
check("… once", flushes(stays), "ok")
new = [connect() for i in range(2)]
for h in new:
    check("who came later", flushes(h), "EIO")
    check("… once", flushes(h), "ok")
check("who came when all were told", flushes(connect()), "ok")
END

step "… also if they left when it was lost, and had not been told"
loss <<'END'
stays = connect()
before = threads()
a = connect()
a.pwrite(b"2", 512)
power_cut()
stays.pread(1, 0)
leave(before, a)
later = connect()
later.pread(1, 0)
check("who came later", flushes(later), "EIO")
check("who came when all were told", flushes(connect()), "ok")
check("who stayed", flushes(stays), "EIO")
check("… once", flushes(stays), "ok")
END

step "… but not after a flush, whoever's it was"
loss <<'END'
stays = connect()
before = threads()
a = connect()
a.pwrite(b"2", 512)
leave(before, a)
stays.flush()
power_cut()
stays.pread(1, 0)
check("who stayed", flushes(stays), "ok")
check("who came later", flushes(connect()), "ok")
END
stop_server s
kill_child u

step "without a log, not shared: the loss outlasts the pool's connections"
rm -f u.img
upstream
start_forwarder socket="$tmp/u.sock" reconnect=500ms replay-buffer=0 \
  dynamic-export=true
loss <<'END'
h = connect("a")
h.pwrite(b"1", 0)
os.kill(int(open("u.vpid").read()), signal.SIGKILL)
refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
END
kill_child u
upstream
loss <<'END'
check("another export", flushes(connect("b")), "ok")
check("who comes to it next", flushes(connect("a")), "EIO")
check("and then", flushes(connect("a")), "ok")
END
stop_server s
kill_child u

step "exports that owe the report of a loss are in nobody's way"
fault_server u
tell u exports "other$(printf ',e%d' {1..1001})"
start_forwarder socket="$tmp/u.sock" reconnect=30 replay-buffer=0 \
  dynamic-export=true
loss <<'END'
before = threads()
for i in range(1, 1002):
    h = connect("e%d" % i)
    h.pwrite(b"1", 0)
    tell("drop")
    h.pread(1, 0)
    h.shutdown()
leave(before)
check("another export", flushes(connect("other")), "ok")
for i in 1, 500, 1001:
    check("who comes to e%d next" % i, flushes(connect("e%d" % i)), "EIO")
    check("and then", flushes(connect("e%d" % i)), "ok")
END
stop_server s
end_fault_server u

step "what waits for the upstream is limited, and none of it is lost"
rm -f u.img
upstream
start_forwarder socket="$tmp/u.sock" reconnect=500ms replay-buffer=64K \
  dynamic-export=true
loss <<'END'
clients = [connect("e%d" % i) for i in range(10)]
for i, h in enumerate(clients):
    h.pwrite(b"%d" % i * 30000, i * 30720)
os.kill(int(open("u.vpid").read()), signal.SIGKILL)
for h in clients:
    refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
END
kill_child u
ten_left ()
{
  [ "$(forwarder_threads)" -lt 30 ]
}
wait_for "the clients' end" ten_left
# Until the last of them has left, there is another reason.
no_room ()
{
  refused nbdinfo --size "$(uri f)"
  grep -q 'export "f": cannot be opened: too many unflushed' s.log
}
wait_for "the reason" no_room
upstream
all_there ()
{
  local i
  for i in 0 1 2 3 4 5 6 7 8 9; do
    [ "$(tail -c +$((i * 30720 + 1)) u.img | head -c 30000 | tr -d $i |
         wc -c)" = 0 ] || return 1
  done
}
wait_for "all that was written" all_there
wait_for "room for another export" nbdinfo --size "$(uri f)"
stop_server s
kill_child u

step "what nbdkit's end loses is logged"
rm -f u.img
upstream
start_forwarder socket="$tmp/u.sock" reconnect=500ms
loss <<'END'
h = connect()
h.pwrite(b"1" * 100, 0)
os.kill(int(open("u.vpid").read()), signal.SIGKILL)
refused("a read in the outage", errno.ESHUTDOWN, h.pread, 1, 0)
END
kill_child u
stop_server s
grep -q 'export "": the last acknowledged writes (1 that are kept, 100 bytes) could not be flushed' s.log ||
  fail "it was not: $(cat s.log)"
