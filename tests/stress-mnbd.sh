#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Endless outages: servers with a volatile cache crash under mnbd while the
# shadow client runs.  Each round has a random mix of server, signal, parameters
# and load; the first failure ends the script.
#
#   tests/stress-mnbd.sh               until it is interrupted
#   tests/stress-mnbd.sh --seconds=N   rounds for about N seconds
#   tests/stress-mnbd.sh --rounds=N    N rounds
#
# Run it in the build folder.

seconds_wanted='' rounds=''
for arg; do
  case $arg in
    --seconds=*[!0-9]* | --rounds=*[!0-9]* | --seconds= | --rounds=)
      echo "$arg: expected a number" >&2
      exit 2;;
    --seconds=*) seconds_wanted=${arg#*=};;
    --rounds=*) rounds=${arg#*=};;
    *)
      echo "usage: ${0##*/} [--seconds=N] [--rounds=N]" >&2
      exit 2;;
  esac
done
MBLOCK_TIMED=1                  # it may take as long as it wants
. "$(dirname "$0")/mnbd-functions.sh"
only_mnbd

pick ()
{
  local -a all=("$@")
  printf '%s' "${all[RANDOM % ${#all[@]}]}"
}

total=0
for ((round = 1; ; round++)); do
  [ -z "$rounds" ] || [ $round -le "$rounds" ] || break
  [ -z "$seconds_wanted" ] || [ $SECONDS -lt "$seconds_wanted" ] || break
  server="--size=$(pick 1048576 2097152 4194304) $(pick '' --multi-conn)"
  server+=" $(pick '' --no-fua) --writeback=$(pick 0 1 3 10)"
  forwarder="connections=$(pick 1 2 4 8)"
  forwarder+=" replay-buffer=$(pick 64K 256K 1M 64M)"
  load="--connections=$(pick 1 2 5) --depth=$(pick 1 4 16 40)"
  load+=" --max-length=$(pick 512 16384 262144) --flush=$(pick 0 1 5 15)"
  load+=" --trim=$(pick 0 4 15) --zero=$(pick 0 8 20)"
  what=$(pick KILL USR1 USR2)
  crashes=$((RANDOM % 40 + 10))
  step "round $round: $what × $crashes; $server; $forwarder; $load"

  # shellcheck disable=SC2086
  volatile_server u $server
  # shellcheck disable=SC2086
  start_forwarder socket="$tmp/u.sock" reconnect=60 $forwarder
  # shellcheck disable=SC2086
  start_shadow --trim-zeroes --dump="$tmp/dump" $load "$(uri)"
  for ((i = 0; i < crashes; i++)); do
    moment
    shadow_runs || break
    # shellcheck disable=SC2086
    outage "$what" $server
    total=$((total + 1))
  done
  shadow_passed
  kill_child u
  case $load in
    *--flush=0*) ;;             # then its last flush is not made either
    *) cmp dump u.img || fail "the last flush was not true";;
  esac
  stop_server s
  rm -f u.img u.sock
done
echo "$total outages, $((round - 1)) rounds"
