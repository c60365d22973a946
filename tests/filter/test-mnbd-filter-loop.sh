#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An upstream that is this server itself is refused at once, with the reason.

. "$(dirname "$0")/../filter-functions.sh"

# refused_loop WHAT COMMAND…
refused_loop ()
{
  local what=$1 rc=0
  shift
  timeout 60 "$@" >refused 2>&1 || rc=$?
  [ $rc -ne 0 ] && [ $rc -ne 124 ] ||
    fail "$what: status $rc: $(cat refused)"
  grep -q 'nbdkit: .*it is this server itself: a loop' s.log ||
    fail "$what: the log does not say it: $(cat s.log)"
}

for plugin_or_filter in plugin filter; do
  loop=(--filter="$filter" "$mramdisk" mnbd-mode=forward mnbd-export=far)
  prefix=mnbd-
  if [ $plugin_or_filter = plugin ]; then
    loop=("$builddir/mnbd.so" export=far)
    prefix=
  fi

  step "$plugin_or_filter: a Unix socket"
  start_server s "${loop[@]}" "${prefix}socket=$tmp/s.sock"
  refused_loop "Unix" nbdinfo --size "$(uri)"
  stop_server s

  step "$plugin_or_filter: at the start"
  rc=0
  rm -f x.sock
  timeout 60 nbdkit -f -U "$tmp/x.sock" "${loop[@]}" \
    "${prefix}socket=$tmp/x.sock" "${prefix}shared=true" >out 2>&1 || rc=$?
  [ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "status $rc: $(cat out)"
  check "lines" "$(grep -c . out)" 1
  grep -q 'it is this server itself: a loop' out || fail "$(cat out)"

  # A free port is found by trying.
  # Where nbdkit listens on all addresses, it may be reached by any of them; the
  # tests listen on this machine only.
  for address in 127.0.0.1; do
    step "$plugin_or_filter: TCP"
    for ((port = 20000 + RANDOM % 20000; ; port++)); do
      rm -f s.pid
      nbdkit -f -i $address -p $port -P "$tmp/s.pid" \
        "${loop[@]}" "${prefix}hostname=127.0.0.1" "${prefix}port=$port" \
        >s.log 2>&1 &
      pid=$!
      for ((i = 0; i < 1200; i++)); do
        [ -s s.pid ] && break
        running $pid || break
        pause 0.05
      done
      [ -s s.pid ] && break
      grep -q 'in use' s.log || fail "$(cat s.log)"
    done
    child tcp $pid
    refused_loop "TCP" nbdinfo --size "nbd://127.0.0.1:$port"
    end_child tcp
    rm -f s.pid
  done
done

step "the list of exports"
start_server s --filter="$filter" "$mramdisk" size=1M disk=own \
  mnbd-mode=forward mnbd-socket="$tmp/s.sock" mnbd-dynamic-export=true \
  'mnbd-exports=far*'
python <<'END'
check("names", sorted(set(names()) - {""}), ["own"])
END
grep -q 'it is this server itself: a loop' s.log || fail "$(cat s.log)"
refused_loop "dynamic" nbdinfo --size "$(uri far)"

step "another server on this machine is none"
start_server u "$mramdisk" size=1M
stop_server s
start_server s --filter="$filter" "$mramdisk" size=2M mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock"
check "size" "$(nbdinfo --size "$(uri)")" 1048576
