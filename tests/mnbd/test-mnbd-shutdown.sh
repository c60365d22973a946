#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Requests that wait for others, for a connection that another thread makes, or
# for a server that never answers, do not keep nbdkit from ending.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# client NAME PYTHON: in the background, until it has an answer or none.
client ()
{
  nbdsh -u "$(uri)" -c "$2" >"$1.out" 2>&1 &
  child "$1" $!
}

server_has ()
{
  [ "$(requests u "$1" | wc -l)" -ge "$2" ]
}

ended ()
{
  ! kill -0 "$1" 2>/dev/null
}

step "writes behind one that they overlap are not sent any more"
fault_server u
start_forwarder socket="$tmp/u.sock"
tell u fault on=write,do=never
for i in 1 2 3 4 5; do
  client "c$i" 'h.pwrite(b"x" * 4096, 0)'
done
wait_for "the first write" server_has write 1
sleep 0.5
stop_server s
check "writes that the server got" "$(requests u write | wc -l)" 1
for i in 1 2 3 4 5; do
  end_child "c$i"
done
end_fault_server u

step "a read need not wait for the thread that connects"
fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=300 connect-timeout=200
read_twice='
import os, time
h.pread(4096, 0)
while not os.path.exists("lost"):
    time.sleep(0.01)
h.pread(4096, 0)
'
for i in 1 2; do
  client "c$i" "$read_twice"
done
wait_for "both reads" server_has read 2
tell u fault on=connect,do=never
tell u drop
touch lost
sleep 1
kill "$(cat s.pid)"
both=("${children[c1]}" "${children[c2]}")
one_ended ()
{
  ended "${both[0]}" || ended "${both[1]}"
}
wait_for "the end of the client whose thread does not connect" one_ended

step "… and nbdkit does not wait for the handshake"
stop_server s
for i in 1 2; do
  end_child "c$i"
done
end_fault_server u

step "a first client whose handshake is never answered"
fault_server u
start_forwarder socket="$tmp/u.sock" connect-timeout=200
tell u fault on=option,opt=GO,do=never
client c1 'h.pread(4096, 0)'
wait_for "the handshake" grep -q '"fault"' u.jsonl
stop_server s
end_child c1
end_fault_server u

step "requests that are never answered; what was acknowledged is flushed"
fault_server u
start_forwarder socket="$tmp/u.sock"
tell u fault on=read,do=never
client c1 'h.pwrite(b"x" * 4096, 8192); h.pread(4096, 0)'
wait_for "the write, and a read" server_has read 1
client c2 'h.pread(4096, 4096)'
client c3 'h.pread(4096, 8192)'
wait_for "all reads" server_has read 3
stop_server s
check "the write was sent again, and flushed" \
  "$(requests u write flush | tr '\n' '|')" \
  "write 8192 4096 |write 8192 4096 |flush 0 0 |"
for i in 1 2 3; do
  end_child "c$i"
done
end_fault_server u

# The server u falls silent while one client sends more than a socket takes, and
# another one waits behind it.
cat >large.py <<'EOF'
import os, time
h.pread(4096, 0)
open("connected", "w").close()
while not os.path.exists("silent"):
    time.sleep(0.01)
h.pwrite(b"x" * (32 << 20), 0)
EOF
silent_server ()
{
  rm -f connected silent
  client c1 'exec(open("large.py").read())'
  wait_for "the client" [ -e connected ]
  freeze "$(cat u.pid)"
  touch silent
  sleep 1
  client c2 'h.pread(4096, 4096)'
  sleep 0.5
  stop_server s
  kill -CONT "$(cat u.pid)"
  for i in 1 2; do
    end_child "c$i"
  done
}

step "a server that takes no more of a large write"
start_server u memory 64M
start_forwarder socket="$tmp/u.sock"
silent_server
stop_server u

step "the same through TLS, which is another way to the server"
if ! nbdkit --dump-config | grep -qx tls=yes || ! type psktool >out 2>&1; then
  echo "left out: nbdkit has no TLS, or there is no psktool"
  exit 0
fi
psktool -u alice -p keys.psk >out 2>&1
start_server u --tls=require --tls-psk="$tmp/keys.psk" memory 64M
start_forwarder socket="$tmp/u.sock" tls=require tls-psk="$tmp/keys.psk" \
  tls-username=alice
silent_server
# A client that goes in the middle of a record can make nbdkit's TLS library
# abort: how this server ends is not what is tested.
crash_server u
