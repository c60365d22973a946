#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that returns with the same UUID is never refused, nor is any while
# nothing depends on the disk.

. "$(dirname "$0")/../mnbd-identity-functions.sh"

# 50 times, but on a busy machine as often as fits well into the test's time.
step "the right server, restarted 50 times"
begin_with arena="$tmp/arena"
for ((i = 0; i < 50 && (i < 10 || SECONDS < 60); i++)); do
  c=$(printf '%b' "\\$(printf %o $((97 + i % 26)))")
  if ((i % 5)); then crash_server u; else stop_server u; fi
  begin "write(b\"$c\")"
  upstream arena="$tmp/arena"
  answer written
  ((i % 2)) || ask 'flush()' flushed
  ask 'read()' "$c"
done
echo "$i restarts in $SECONDS seconds"
ctl rename d e
ctl rename e d
ctl set d --quota=1G
disconnect d
ask 'read()' "$c"
check "refusals" "$(grep -c refused s.log || :)" 0
end

step "saved and loaded"
begin_with
ctl save saved2
crash_server u
begin 'read()'
upstream load="$tmp/saved2"
answer a
check "refusals" "$(grep -c refused s.log || :)" 0
end

if nbdkit --filter=exportname null --dump-plugin >/dev/null 2>&1; then
  # described HOW: the same disk, with another description.
  described ()
  {
    crash_server u
    begin 'read()'
    upstream arena="$tmp/arena" --filter=exportname exportdesc="$1"
  }
  step "a server that did not say its UUID, and then does; and changed texts"
  upstream arena="$tmp/arena" --filter=exportname exportdesc=none
  start_forwarder connections=2 reconnect=60 socket="$tmp/u.sock" export=d
  client_begins
  ask 'write(b"a")' written
  ask 'flush()' flushed
  described keep
  answer a
  described none                # and never mind
  answer a
  id=$(ctl info d | sed -n 's/^UUID  *//p')
  described "fixed:new words! UUID $id (and more)"
  answer a
  described "fixed:no UUID ${id%?} here"
  answer a
  check "refusals" "$(grep -c refused s.log || :)" 0
  described "fixed:UUID ${id%?????}00000"
  is_refused 1
  nothing_answered
  crash_server u
  upstream arena="$tmp/arena"
  answer a
  end
fi

step "a list of servers: each has its own disk"
start_server v "$mramdisk" size=8M arena="$tmp/v.arena"
upstream arena="$tmp/arena"
start_forwarder connections=2 reconnect=60 \
  "nbd+unix:///d?socket=$tmp/u.sock" "nbd+unix:///d?socket=$tmp/v.sock"
client_begins
ask 'write(b"a")' written
ask 'flush()' flushed
both () { "$builddir/mblockctl" -q -s "$tmp/c" push d "nbd+unix:///d?socket=$tmp/v.sock"; }
both                            # a replica
crash_server u
ask 'read()' a                  # from the other one
check "refusals" "$(grep -c refused s.log || :)" 0
upstream arena="$tmp/arena"
crash_server v
ask 'read()' a
start_server v "$mramdisk" size=8M arena="$tmp/v.arena"
crash_server u
ask 'read()' a
check "refusals" "$(grep -c refused s.log || :)" 0
crash_server v
begin 'read()'
upstream                        # the first, empty
ever_refused () { [ "$(refusals)" -gt 0 ]; }    # each server has its lines
wait_for "the refusal: $(cat s.log)" ever_refused
nothing_answered
start_server v "$mramdisk" size=8M arena="$tmp/v.arena"
answer a
stop_server v
end

step "while nobody relies on a disk, it may be another one"
upstream
forward socket="$tmp/u.sock" export=d
client_begins
ask 'read() == "\0"' True
for ((i = 0; i < 3; i++)); do
  crash_server u
  upstream
  ask 'read() == "\0"' True
done
check "refusals" "$(refusals)" 0
ask 'write(b"a")' written       # of this one the UUID counts
crash_server u
begin 'read()'
upstream
is_refused 1
kill_child client
exec 7>&- 8<&-
kill_server s                   # it would try to save that write for 10 s
stop_server u

step "nobody is connected"
upstream
forward socket="$tmp/u.sock" export=d
client_begins
ask 'write(b"a")' written
ask 'flush()' flushed
client_ends
crash_server u
upstream
client_begins
ask 'read() == "\0"' True
check "refusals" "$(refusals)" 0
client_ends
stop_server s
stop_server u

step "identity=false"
upstream
forward socket="$tmp/u.sock" export=d identity=false
client_begins
ask 'write(b"a")' written
ask 'flush()' flushed
crash_server u
upstream
ask 'read() == "\0"' True
check "refusals" "$(grep -c refused s.log || :)" 0
client_ends
stop_server s
stop_server u
