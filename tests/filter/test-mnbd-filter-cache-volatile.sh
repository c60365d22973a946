#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An upstream that repeatedly loses what was not flushed, under a client with a
# shadow of every byte: through the cache nothing is lost, and what the client
# flushed is on the upstream's disk.

. "$(dirname "$0")/../cache-functions.sh"

beneath=("$mramdisk" size=2M)

# storm OUTAGES CACHE-PARAMETERS…
storm ()
{
  local n=$1 i
  shift
  step "$n outages, $*"
  volatile_server u --size=2097152 --multi-conn
  start_cache mnbd-reconnect=60 "$@"
  start_shadow --trim-zeroes --connections=3 --dump="$tmp/dump" "$(uri)"
  for ((i = 0; i < n; i++)); do
    moment
    shadow_runs || break
    outage KILL --size=2097152 --multi-conn
  done
  [ "$n" -gt 0 ] || sleep 2
  shadow_passed

  # Its last flush was answered: all must be in the file now.
  kill_child u
  cmp dump u.img || fail "the last flush was not true"
  # The cache has nothing to say to the upstream any more.
  volatile_server u --size=2097152 --multi-conn
  stop_server s
  kill_child u
  rm u.img
}

for n in 0 "$outages"; do
  storm "$n"
  storm "$n" mnbd-cache=writeback
  storm "$n" mnbd-cache=writeback mnbd-cache-max=1M mnbd-cache-dirty-age=1
  storm "$n" max-memory=1M
  storm "$n" mnbd-cache=writeback max-memory=1M
done
