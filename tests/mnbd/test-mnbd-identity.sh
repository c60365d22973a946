#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that returns with another UUID is refused before anything else goes
# through, in one line.

. "$(dirname "$0")/../mnbd-identity-functions.sh"

step "a RAM disk that was restarted empty, of the same size"
begin_with arena="$tmp/arena"
crash_server u
begin 'read()'
upstream
is_refused 1
nothing_answered
python <<'END'
check("nothing was sent to it", names(server="u").get("d"), None)
END
crash_server u
upstream arena="$tmp/arena"     # the right one
answer a
ask 'write(b"b")' written
ask 'flush()' flushed
check "refusals" "$(refusals)" 1
end

step "the same with writes that are not flushed: they go to the right disk only"
upstream arena="$tmp/arena"
forward socket="$tmp/u.sock" export=d
client_begins
ask 'write(b"a")' written
crash_server u
begin 'write(b"b")'
upstream
is_refused 1
nothing_answered
python <<'END'
check("nothing was sent to it", names(server="u").get("d"), None)
END
crash_server u
upstream arena="$tmp/arena"
answer written
ask 'flush()' flushed
ask 'read()' b
end

step "another disk behind the same name"
begin_with disk=other
ctl rename d away
ctl rename other d
disconnect away
begin 'read()'
is_refused 1
nothing_answered
ctl rename d other
ctl rename away d               # and the right one again
answer a
check "refusals" "$(refusals)" 1
end

step "a disk that is replaced while mnbd is connected"
begin_with
ctl create golden 8M
ctl rename d kept               # so that it can come back
ctl clone golden d
disconnect kept
begin 'write(b"b")'
is_refused 1
# Another wrong one; with --force, since mnbd connects to it now and then.
ctl clone golden d --replace --force
nothing_answered
ctl destroy d --force
ctl rename kept d
answer written
ask 'read()' b
check "refusals" "$(refusals)" 1
end

for how in clone reset create; do
  step "replaced for good: $how"
  upstream disk=golden
  ctl clone golden d
  start_forwarder connections=2 reconnect=1 socket="$tmp/u.sock" export=d
  client_begins
  ask 'write(b"a")' written
  case $how in
    clone) ctl clone golden d --replace --force;;
    reset) ctl reset --force d;;
    create) ctl create d 8M --replace --force;;
  esac
  ask 'read()' a                # the old disk is there for those who have it
  for id in $(ctl --json clients | python3 -c '
import json, sys
print(*[c["id"] for c in json.load(sys.stdin)["clients"]])'); do
    ctl disconnect --id "$id"
  done
  ask 'read()' "failed: ESHUTDOWN"
  ask 'write(b"b")' "failed: ESHUTDOWN"
  check "refusals" "$(refusals)" 1
  ask 'flush()' "failed: ESHUTDOWN"
  client_ends
  kill_server s
  stop_server u
done

step "an older state of the same disk has its UUID: the witness tells"
upstream arena="$tmp/arena"
start_forwarder connections=2 reconnect=60 socket="$tmp/u.sock" export=d
client_begins
ask 'write(b"a")' written
ask 'flush()' flushed
ctl save saved
crash_server u
cp --sparse=always arena old
upstream arena="$tmp/arena"
ask 'write(b"b")' written
ask 'flush()' flushed
crash_server u
begin 'read()'
is_older () { [ "$(grep -c 'or has lost data: .* (see witness=)' s.log)" = "$1" ]; }
upstream arena="$tmp/old"
wait_for "the refusal: $(cat s.log)" is_older 1
crash_server u
upstream load="$tmp/saved"
nothing_answered
crash_server u
upstream arena="$tmp/arena"
answer b
check "refused for another UUID" "$(refusals)" 0
end
