#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A method that waits for a secondary that hangs does not keep nbdkit from
# ending: its client is told so, or the connection ends.

. "$(dirname "$0")/../mirror-functions.sh"

# The secondary is not lost before the methods are there, on a busy machine
# either.  nbdkit waits for the client's write, so this is less than a minute.
begin ()
{
  rm -f u.img
  volatile_server u --size=2097152 --multi-conn
  start_mirror "$mramdisk" size=2M mnbd-reconnect=600 mnbd-max-stall=20 \
    mnbd-request-timeout=100000 "$@"
}

# Methods in flight: so many threads for them are there.
in_flight ()
{
  [ "$(cat /proc/"$(cat s.pid)"/task/*/comm | grep -cx mblock-method)" = "$1" ]
}

write_in_flight ()
{
  "$builddir/mblockctl" -s "$tmp/control" call mirror_status |
    grep -q '"in_flight": 1,'
}

# ends: server s ends by itself, with status 0, and so does the method's client.
ends ()
{
  stop_server s
  wait_for "the end of the method's client" ended method
  kill -CONT "$volatile_pid"
  kill_child u
}

ended ()
{
  ! running "${children[$1]}"
}

for force in false true; do
  step "mirror_stop with force=$force waits for a flush"
  begin
  wait_mirror synchronised
  # Even if the mirror has flushed this already, the method flushes again.
  python <<'END'
h = connect()
h.pwrite(b"not flushed", 4096)
h.shutdown()
END
  freeze "$volatile_pid"
  "$builddir/mblockctl" -s "$tmp/control" --timeout 0 call mirror_stop \
    "{\"force\": $force}" >answer 2>&1 &
  child method $!
  wait_for "a method in flight" in_flight 1
  ends
  ! grep -q '"consistent": true' answer || fail "$(cat answer u.err s.log)"
done

step "several wait, one of them behind a client's write"
begin
wait_mirror synchronised
freeze "$volatile_pid"
nbdsh -u "$(uri)" -c 'h.pwrite(b"x" * 4096, 0)' >write 2>&1 &
child write $!
wait_for "the write" write_in_flight
for i in 1 2 3; do
  "$builddir/mblockctl" -s "$tmp/control" --timeout 0 mirror stop \
    >"answer$i" 2>&1 &
  child "method$i" $!
done
child method "${children[method1]}"
wait_for "three methods in flight" in_flight 3
ends
wait_for "the end of the others" ended method2
wait_for "the end of the others" ended method3
for i in 1 2 3; do
  ! grep -q 'consistent' "answer$i" || fail "$(cat answer$i)"
done
wait_for "the end of the writer" ended write

step "a mirror start that waits for the mirror to be synchronised"
begin mnbd-start=false mnbd-rate=1
python <<'END'
h = connect()
h.pwrite(b"x" * MiB, 0)
h.shutdown()
END
"$builddir/mblockctl" -s "$tmp/control" mirror start --wait >answer 2>&1 &
child method $!
wait_for "the copy" mirror_is copying
freeze "$volatile_pid"
ends
