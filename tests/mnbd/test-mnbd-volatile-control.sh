#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Tests of the tests: without mnbd in between, the shadow client notices bytes
# that the volatile server has lost, or errors, and reports them; and the
# volatile server does what the shadow client expects of any server.

. "$(dirname "$0")/../mnbd-functions.sh"

# storm SIGNAL SHADOW-ARGUMENTS…: against the server itself
storm ()
{
  local what=$1 i
  shift
  start_shadow "$@" "nbd+unix:///?socket=$tmp/u.sock"
  for ((i = 0; i < 30; i++)); do
    pause 0.04
    shadow_runs || break
    kill -"$what" $volatile_pid
  done
  sleep 0.2                     # the last one has come through
  end_shadow
  head -n 3 shadow.out
}

# On a busy machine the client may have nothing to lose when a storm comes.
storm_is_seen ()                # as storm
{
  local i
  for ((i = 0; i < 10; i++)); do
    storm "$@"
    [ "$shadow_rc" = 0 ] || break
  done
  check "status" $shadow_rc 1
}

volatile_server u --size=2097152 --multi-conn
step "an error is seen"
storm_is_seen USR2
grep -q 'was lost' shadow.out || fail "for another reason"

step "a loss is seen"
storm_is_seen USR1 --reconnect=20
grep -q 'expected 0x' shadow.out || fail "for another reason"

step "a client that connects again itself loses nothing if the server did not"
storm USR2 --reconnect=20
check "status" $shadow_rc 0

step "what was flushed survives"
storm USR1 --reconnect=20 --mode=durable
check "status" $shadow_rc 0
kill_child u

step "a server that lies about flushes is found out"
volatile_server u --size=2097152 --multi-conn --lie
storm_is_seen USR1 --reconnect=20 --mode=durable
grep -q 'expected 0x' shadow.out || fail "for another reason"
