#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# fio with verify over a mirror whose secondary is killed and restarted every
# second, or fails requests; in the end both sides are the same.

. "$(dirname "$0")/../mirror-functions.sh"
requires_fio

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
upstream
start_mirror "$mramdisk" size=64M
run_fio restart_upstream
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
run_fio :
# Else one of them may be for the client that compares the sides.
tell u clear
mirrored_all
