#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The pool: one connection unless the server offers multi-conn, then no more
# than connections=, however many clients there are.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

upstream_connections ()
{
  tell u connections
  sed 's/ok //' told
}

fault_server u --set multi_conn=no
start_forwarder socket="$tmp/u.sock" connections=4

has_connections ()              # LEAST
{
  [ "$(upstream_connections)" -ge "$1" ]
}

step "without multi-conn"
start_shadow --connections=6 --max-length=4096 "$(uri)"
sleep 0.5
check "connections" "$(upstream_connections)" 1
shadow_passed
stop_server s

step "with multi-conn"
tell u set multi_conn=yes
start_forwarder socket="$tmp/u.sock" connections=3
start_shadow --connections=6 --depth=16 --max-length=4096 "$(uri)"
wait_for "a second connection" has_connections 2
n=$(upstream_connections)
shadow_passed
[ "$n" -ge 2 ] && [ "$n" -le 3 ] || fail "$n connections, expected 2 or 3"
python <<'END'
check("multi-conn", connect().can_multi_conn(), True)
END
stop_server s

step "connections=1"
start_forwarder socket="$tmp/u.sock" connections=1
start_shadow --connections=6 --depth=16 --max-length=4096 "$(uri)"
sleep 0.5
check "connections" "$(upstream_connections)" 1
shadow_passed
