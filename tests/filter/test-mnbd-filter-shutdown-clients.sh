#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit ends while a client's request waits for an upstream that hangs: in
# modes mirror and cache, after a switch, and while writes are replayed.

. "$(dirname "$0")/../mirror-functions.sh"

# begin PARAMETERS…: the filter, and a client with unflushed bytes upstream.
begin ()
{
  rm -f u.img ready go
  volatile_server u --size=2097152 --multi-conn
  start_server s --filter="$filter" "$mramdisk" size=2M \
    mnbd-socket="$tmp/u.sock" mnbd-control=control mnbd-reconnect=600 "$@"
}

# request CODE: a client that runs the code when the upstream hangs.
request ()
{
  python 2>error <<END &
h = connect()
h.pwrite(b"a" * 4096, 4096)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
$1
END
  client=$!
  wait_for "the client" [ -e ready ]
}

hang ()
{
  freeze "$volatile_pid"
  : >go
  # Nothing shows that the request has arrived.
  sleep 1
}

# ended: nbdkit ends, although the upstream never answers.
ended ()
{
  stop_server s
  wait "$client" || :
  kill -CONT "$volatile_pid"
  kill_child u
}

step "mirror, and nothing else limits the wait for the secondary"
begin mnbd-mode=mirror mnbd-max-stall=0 mnbd-request-timeout=100000
wait_mirror synchronised
request 'h.pwrite(b"b" * 4096, 0)'
hang
ended
grep -q 'has not answered for 10 seconds: giving up' s.log ||
  fail "$(cat s.log)"

for what in 'h.pread(4096, 1 << 20)' 'h.zero(4096, 0)' 'h.flush()'; do
  step "cache: $what"
  begin mnbd-mode=cache mnbd-cache=writeback mnbd-cache-dirty-age=86400
  request "$what"
  hang
  ended
  grep -q 'bytes that were never flushed are lost' s.log ||
    fail "$(cat s.log)"
done

for what in 'h.pread(4096, 1 << 20)' 'h.pwrite(b"b" * 4096, 0)' 'h.flush()'; do
  step "after a switch: $what"
  begin mnbd-mode=mirror
  wait_mirror synchronised
  request "$what"
  "$builddir/mblockctl" -s control mirror switch >out || fail "switch"
  hang
  ended
done
