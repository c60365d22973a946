#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The ways to specify the server, with the parameters of nbdkit's nbd plugin.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u --export "" --export two,size=2M --export 'a b,size=3M'
/usr/bin/python3 "$testdir/nbd-fault-server.py" --portfile "$tmp/port" \
  --export "" --export two,size=2M 2>tcp.err &
child tcp $!
wait_for "the TCP server" [ -s port ]
port=$(cat port)

forwards 16777216 socket="$tmp/u.sock"
forwards 2097152 socket="$tmp/u.sock" export=two
forwards 3145728 socket="$tmp/u.sock" "export=a b"
forwards 16777216 uri="nbd+unix:///?socket=$tmp/u.sock"
forwards 16777216 "nbd+unix:///?socket=$tmp/u.sock"
forwards 2097152 uri="nbd+unix:///two?socket=$tmp/u.sock"
forwards 3145728 "nbd+unix:///a%20b?socket=$tmp/u.sock"
forwards 16777216 hostname=127.0.0.1 port="$port"
forwards 2097152 hostname=localhost port="$port" export=two
forwards 2097152 "nbd://127.0.0.1:$port/two"
forwards 16777216 socket="$tmp/u.sock" shared=true
forwards 16777216 socket="$tmp/u.sock" shared=1 retry=2

step "a relative path"
start_forwarder socket=u.sock
check "size" "$(timeout 60 nbdinfo --size "$(uri)" 2>&1)" 16777216
stop_server s

if [ "$plugin" != nbd ]; then
  step "a relative path in a URI, when nbdkit has changed to another folder"
  forwarder 'nbd+unix:///two?socket=u.sock'
  nbdkit -U "$tmp/background.sock" -P "$tmp/background.pid" \
    "${forwarder[@]}" 2>&1
  rc=0
  timeout 60 nbdinfo --size "$(uri '' background)" >out 2>&1 || rc=$?
  pid=$(cat background.pid)
  kill "$pid"
  wait_for "the end of nbdkit" eval "! kill -0 $pid 2>/dev/null"
  check "size" "$rc $(cat out)" "0 2097152"
fi

step "an export that is not there"
try_forwarder socket="$tmp/u.sock" export=three
[ $rc -ne 0 ] || fail "the client was let in: $(cat out)"

step "the client's export name does not matter"
start_forwarder socket="$tmp/u.sock" export=two
check "size" "$(timeout 60 nbdinfo --size "$(uri other)" 2>&1)" 2097152
