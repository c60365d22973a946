#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl watch: each event once, at once, and an end when its reader goes.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
export MBLOCK_SOCKET=$tmp/s

# Wait until the file $1 has $2 lines.
lines () {
  local i
  for ((i = 0; i < 1000; i++)); do
    [ "$(wc -l < "$1")" -ge "$2" ] && return
    sleep 0.02
  done
  shown=watch; cp "$1" "$tmp/out"
  wrong "expected $2 lines"
}

# The exit code of the process $1, which must end by itself.
ends () {
  local i
  for ((i = 0; i < 1000; i++)); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.02
  done
  kill -KILL "$1" 2>/dev/null && echo "process $1 did not end"
  wait "$1"
}

# Make events until the watcher's file has a line: then it has subscribed.
awake () {
  local i
  for ((i = 0; i < 1000; i++)); do
    "$ctl" set golden --readonly --quiet
    [ -s "$1" ] && return
    sleep 0.02
  done
}

: > "$tmp/err"
"$ctl" watch > "$tmp/people" 2>"$tmp/err" &
people=$!
"$ctl" watch --json created destroyed > "$tmp/json" &
json=$!
pids+=($people $json)
awake "$tmp/people"
for i in {1..1000}; do          # its first event is one that it asked for
  "$ctl" create awake --replace --quiet
  "$ctl" destroy awake --quiet
  [ -s "$tmp/json" ] && break
done
"$ctl" create $'new\e[2J' 1G --quiet
"$ctl" resize $'new\e[2J' 2G --quiet
"$ctl" clone golden copy --quiet
"$ctl" clone golden copy --quiet --replace
"$ctl" destroy copy --quiet
for i in {1..1000}; do
  grep -q 'destroyed.*copy' "$tmp/people" && grep -q copy "$tmp/json" && break
  sleep 0.02
done
cp "$tmp/people" "$tmp/out"
shown=watch
no_error
grep -qE '^20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{3}  created     "new\\x1b\[2J"  size=1G$' \
  "$tmp/out" || wrong "expected the event created"
out_has 'resized     "new\x1b[2J"  old_size=1G  size=2G'
out_has 'cloned      copy  source=golden'
out_has 'replaced    copy'
out_has 'destroyed   copy'
kill $people $json
tail -n 2 "$tmp/json" > "$tmp/out"
shown='watch --json'
python3 -c '
import json, sys
a = [json.loads(l) for l in open(sys.argv[1])]
assert [(e["event"], e["name"]) for e in a] == \
    [("created", "new\x1b[2J"), ("destroyed", "copy")]' "$tmp/out" ||
  wrong "expected two objects, without the events not asked for"

# --count ends it.
"$ctl" watch set -n 2 > "$tmp/two" &
two=$!
pids+=($two)
awake "$tmp/two"
lines "$tmp/two" 1
"$ctl" set golden --readonly --quiet
ends $two
status=$?
shown='watch --count 2'
[ $status = 0 ] || wrong "expected exit code 0, got $status"
cp "$tmp/two" "$tmp/out"
[ "$(wc -l < "$tmp/two")" = 2 ] || wrong "expected two lines"

# "watch | head -1" ends by itself, even if no more events come.
mkfifo "$tmp/fifo"
: > "$tmp/first"
"$ctl" watch > "$tmp/fifo" 2>"$tmp/err" &
watcher=$!
pids+=($watcher)
head -n 1 < "$tmp/fifo" > "$tmp/first" &
reader=$!
awake "$tmp/first"
wait $reader
ends $watcher
status=$?
shown='watch | head'
cp "$tmp/first" "$tmp/out"
[ $status = 0 ] || wrong "expected exit code 0, got $status"
no_error

# Its output cannot be written.
"$ctl" watch > /dev/full 2>"$tmp/err" &
watcher=$!
pids+=($watcher)
for i in {1..1000}; do
  kill -0 $watcher 2>/dev/null || break
  "$ctl" set golden --readonly --quiet
  sleep 0.02
done
ends $watcher
status=$?
shown='watch >/dev/full'
[ $status = 1 ] || wrong "expected exit code 1, got $status"
error_has 'No space left on device'

# The server ends.
"$ctl" watch > "$tmp/last" 2>"$tmp/err" &
watcher=$!
pids+=($watcher)
awake "$tmp/last"
kill "${pids[0]}"
ends $watcher
status=$?
shown='watch, and the server ends'
[ $status = 3 ] || wrong "expected exit code 3, got $status"
error_has 'the server closed the connection'

exit $rc
