#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# fio with verify over a mirror whose secondary is killed and restarted every
# second, or fails requests; in the end both sides are the same.

. "$(dirname "$0")/../mirror-functions.sh"
requires_fio

times_lost ()
{
  "$builddir/mblockctl" -s "$tmp/control" call mirror_status |
    sed -n 's/.*"outages": \([0-9]*\).*/\1/p'
}

# fio_with COMMAND: as run_fio, again if the secondary was not lost twice, for
# which a run is too short on a busy machine.
fio_with ()
{
  local i
  for ((i = 0; i < 10; i++)); do
    run_fio "$1"
    [ "$(times_lost)" -lt 2 ] || break
  done
}

mirrored_all ()
{
  synchronised_and_same
  mirror <<'END'
check("outages", status()["outages"] >= 2, True)
END
}

step "a RAM disk that is empty each time it is back"
upstream ()
{
  start_server u "$mramdisk" size=64M
}
# Only an outage of a secondary that was back is another one.
is_back ()
{
  [ "$(mirror_state)" != degraded ]
}
restart_secondary ()
{
  wait_for "the secondary, which is $(mirror_state)" is_back
  restart_upstream
}
upstream
start_mirror "$mramdisk" size=64M
fio_with restart_secondary
mirrored_all
stop_server s
stop_server u

step "a server that fails a request now and then, in all ways"
fault_server u --set size=67108864,multi_conn=1 \
  --fault on=write,do=error,errno=EIO,every=7001 \
  --fault on=write,do=close,every=9007 \
  --fault on=flush,do=error,errno=EIO,every=53 \
  --fault on=read,do=partial,bytes=7,every=197 \
  --fault on=write,do=magic,every=11003 \
  --fault on=any,do=slow,ms=30,every=53
start_mirror "$mramdisk" size=64M mnbd-connections=2
fio_with :
# Else one of them may be for the client that compares the sides.
tell u clear
mirrored_all
