#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Mirror and cache end in good order, in a bounded time, with the upstream
# there, away, or silent; and say what is lost.

. "$(dirname "$0")/../mirror-functions.sh"

upstream_has_it ()
{
  check "upstream" "$(dd if=u.img bs=1 skip=4096 count=11 status=none)" \
    "not flushed"
}

for mode in mirror cache; do
  parameters=(mnbd-reconnect=600)
  [ $mode = mirror ] || parameters+=(mnbd-cache=writeback
                                     mnbd-cache-dirty-age=86400)
  # One that holds bytes which the upstream has not.
  begin ()
  {
    rm -f u.img
    volatile_server u --size=2097152 --multi-conn
    start_server s --filter="$filter" "$mramdisk" size=2M mnbd-mode=$mode \
      mnbd-socket="$tmp/u.sock" mnbd-control=control "${parameters[@]}"
    [ $mode = cache ] || wait_mirror synchronised
    python <<'END'
connect().pwrite(b"not flushed", 4096)
END
  }

  step "$mode, the upstream is there: it has all that was acknowledged"
  begin
  stop_server s
  kill_child u
  upstream_has_it

  step "$mode, the upstream is away"
  begin
  kill_child u
  stop_server s
  if [ $mode = cache ]; then
    grep -q 'bytes that were never flushed are lost' s.log || fail "$(cat s.log)"
  fi

  step "$mode, the upstream is silent"
  begin
  freeze "$volatile_pid"
  stop_server s
  kill -CONT "$volatile_pid"
  kill_child u
done

# The mode is cache now.
step "cache, the upstream was restarted, and nobody has noticed"
begin
kill_child u
volatile_server u --size=2097152 --multi-conn
stop_server s
kill_child u
upstream_has_it

step "cache, the upstream returns while nbdkit ends"
begin
kill_child u
( pause 2; exec "$builddir/tests/nbd-volatile-server" --unix="$tmp/u.sock" \
    --image="$tmp/u.img" --pidfile="$tmp/u.vpid" --size=2097152 --multi-conn
) 2>>u.err &
child u $!
stop_server s
kill_child u
upstream_has_it
