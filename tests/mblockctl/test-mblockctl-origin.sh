#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What mblockctl shows of origins: list, info, stats, top and metrics; and the
# events of an origin that goes away, comes back, and becomes complete.

. "${srcdir:-.}/tests/mblockctl.sh"
needs_server

wait_for () {
  local i
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  wrong "waited a minute for: $*"
  exit 1
}

head -c 4M /dev/urandom >"$tmp/image"
start_origin () {
  rm -f "$tmp/up"
  nbdkit -f -U "$tmp/up" file "$tmp/image" &
  origin=$!
  wait_for test -S "$tmp/up"
}
stop_origin () {
  kill -9 $origin
  wait $origin 2>/dev/null
}
start_origin
nbdkit -f -U "$tmp/nbd" ./mramdisk.so 16M max-memory=256M \
       control="$tmp/s" 2>"$tmp/log" &
pids+=($!)
export MBLOCK_SOCKET=$tmp/s
uri="nbd+unix:///?socket=$tmp/up"

client () {
  nbdsh -u "nbd+unix:///$1?socket=$tmp/nbd" -c "$2" || wrong "nbdsh $*"
}
origin_is () {                  # STATE
  "$ctl" info golden --json 2>/dev/null | grep -q "\"state\": *\"$1\""
}

: >"$tmp/out"
status 0 wait-ready
status 0 create plain
status 0 list
grep -q ORIGIN "$tmp/out" && wrong "expected no column without an origin"
status 0 top --once -d 0.1
grep -q ORIGIN "$tmp/out" && wrong "expected no column without an origin"
status 0 create golden --origin "$uri" --readonly
status 0 clone golden vm
client vm 'h.pread(1 << 20, 0)'

# How much of it is there.
status 0 list
out_has 'MODE  PARENT  ORIGIN'
for disk in golden vm; do
  grep -Eq "^$disk .* (2[5-9]|[3-9][0-9])%\$" "$tmp/out" ||
    wrong "expected a percentage of $disk's origin"
done
grep -Eq '^plain .* -$' "$tmp/out" || wrong "expected no origin of plain"
status 0 list --columns name,origin --sort origin -H
[ "$(tail -n 1 "$tmp/out")" = $'plain\t-' ] || wrong "expected plain at the end"
status 0 list -H plain
[ "$(tr -cd '\t' <"$tmp/out" | wc -c)" = 8 ] ||
  wrong "expected the nine columns that programs know"
status 0 top --once -d 0.1
grep -Eq '^vm .* [0-9]+%$' "$tmp/out" || wrong "expected a percentage in top"
status 0 stats vm
grep -Eq '^Origin: lazy, [0-9]+% there, [0-9.]+M in memory, [0-9.]+M fetched, 0 evicted, 0 errors$' \
  "$tmp/out" || wrong "expected a line about the origin"
status 0 info vm
out_has "Origin        $uri"
grep -Eq '^  state +lazy$' "$tmp/out" || wrong "expected the state"
status 0 metrics
python3 - "$tmp/out" <<'END' || wrong "see above"
import sys
m = {}
for line in open(sys.argv[1]):
    if not line.startswith("#"):
        name, value = line.rsplit(" ", 1)
        m[name] = float(value)
prefix = "mblock_disk_origin_"
for disk in "golden", "vm":
    label = '{disk="%s"}' % disk
    assert m[prefix + "size_bytes" + label] == 4 << 20
    known = m[prefix + "known_bytes" + label]
    assert 1 << 20 <= known < 4 << 20, known
    assert m[prefix + "memory_bytes" + label] == known
    assert m[prefix + "fetched_bytes_total" + label] == known
    assert m[prefix + "fetches_total" + label] >= 1
    assert m[prefix + "evicted_bytes_total" + label] == 0
    assert m[prefix + "errors_total" + label] == 0
    for state in "lazy", "prefetching", "complete", "away":
        assert m['%sstate{disk="%s",state="%s"}' % (prefix, disk, state)] == \
            (state == "lazy"), state
assert not [k for k in m if k.startswith(prefix) and "plain" in k]
END

# It goes away, comes back, and another one becomes complete.
"$ctl" watch origin --json >"$tmp/events" &
pids+=($!)
subscribed () {
  # watch prints nothing when it has subscribed; an event tells.
  "$ctl" destroy probe --ignore-missing --force --quiet
  "$ctl" create probe --origin "$uri" --prefetch --quiet
  grep -q '"complete"' "$tmp/events"
}
wait_for subscribed
# The event may have been that of the disk before.
probe_is_complete () { "$ctl" list probe | grep -q ' complete$'; }
wait_for probe_is_complete
stop_origin
client vm 'h.aio_pread(nbd.Buffer(4096), 3 << 20)
h.poll(0)
import time
time.sleep(0.5)'
wait_for origin_is away
wait_for grep -q '"away"' "$tmp/events"
status 0 list
grep -Eq '^golden .* away$' "$tmp/out" || wrong "expected golden to be away"
status 0 metrics
out_has 'mblock_disk_origin_state{disk="golden",state="away"} 1'
start_origin
client vm 'h.pread(4096, 2 << 20)'
wait_for origin_is lazy
wait_for grep -q '"lazy"' "$tmp/events"
status 0 list probe
grep -Eq '^probe .* complete$' "$tmp/out" || wrong "expected probe to be complete"
grep -qF "$uri" "$tmp/events" || wrong "expected the URI in the events"
stop_origin

[ $rc = 0 ] || cat "$tmp/log"
exit $rc
