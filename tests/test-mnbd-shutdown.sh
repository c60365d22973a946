#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Requests that wait for others, or for a connection that another thread makes,
# do not keep nbdkit from ending.

. "$(dirname "$0")/mnbd-functions.sh"
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
tell u fault on=write,do=slow,ms=2000
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
tell u down
stop_server s
