#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that closes, sends garbage or dies at each step of the handshake: the
# client is refused, and mnbd stays and serves the next one.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u
start_forwarder socket="$tmp/u.sock"
attempt ()
{
  local rc=0
  timeout 60 nbdinfo --size "$(uri)" >out 2>&1 || rc=$?
  [ $rc -ne 124 ] || fail "it hangs"
  return $rc
}

attempt || fail "without a fault: $(cat out)"
for where in on=connect on=greeting on=option,opt=STRUCTURED_REPLY \
             on=option,opt=SET_META_CONTEXT on=option,opt=GO; do
  for what in do=close do=garbage,then=close do=partial,bytes=3; do
    step "$where,$what"
    tell u clear
    tell u fault "$where,$what"
    if attempt; then fail "$where,$what: the client was let in"; fi
    [ -e "/proc/$(cat s.pid)" ] || fail "$where,$what: the plugin is gone"
  done
done
for what in do=magic do=error; do
  step "on=option,opt=GO,$what"
  tell u clear
  tell u fault "on=option,opt=GO,$what"
  if attempt; then fail "$what: the client was let in"; fi
done
tell u clear
attempt || fail "after the faults: $(cat out)"
check "size" "$(cat out)" 16777216

step "an option that is answered with an error is done without"
tell u fault on=option,opt=STRUCTURED_REPLY,do=error
attempt || fail "without structured replies: $(cat out)"
tell u clear
