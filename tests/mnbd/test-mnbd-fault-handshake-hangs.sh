#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that stops talking in the handshake: connect-timeout= ends it.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock" connect-timeout=1
for where in on=connect on=greeting on=option,opt=GO; do
  for what in do=never do=garbage,then=stay do=partial,bytes=1,then=stay; do
    step "$where,$what: the first client is refused, in time"
    tell u clear
    tell u fault "$where,$what"
    rc=0
    timeout 60 nbdinfo --size "$(uri)" >out 2>&1 || rc=$?
    [ $rc -ne 0 ] || fail "$where,$what: the client was let in"
    [ $rc -ne 124 ] || fail "$where,$what: it hangs"
  done
done

step "while it reconnects, such a server is only one that is not there yet"
tell u clear
stop_server s
start_forwarder socket="$tmp/u.sock" connect-timeout=2 reconnect=600
python <<'END'
# A first connect is not retried, and on a busy machine this server is slow.
for i in range(50):
    try:
        h = connect()
        break
    except nbd.Error:
        pass
h.pwrite(pattern(100000), 5000)
for where in "on=connect", "on=greeting", "on=option,opt=GO":
    for what in ("do=close", "do=never", "do=garbage,then=stay",
                 "do=partial,bytes=1,then=stay"):
        tell("clear")
        tell("fault " + where + "," + what + ",times=1")
        tell("drop")
        check("%s,%s" % (where, what), h.pread(100000, 5000),
              pattern(100000))
END
