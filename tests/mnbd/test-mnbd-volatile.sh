#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that repeatedly loses what was not flushed: clients see no error and
# no lost byte, and what they flushed is on its disk.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# storm WHAT SHADOW-ARGUMENTS…, with $options for the server
storm ()
{
  local what=$1 i
  shift
  volatile_server u --size=2097152 $options
  start_forwarder socket="$tmp/u.sock" reconnect=60 connections=4
  start_shadow --trim-zeroes --dump="$tmp/dump" "$@" "$(uri)"
  for ((i = 0; i < outages; i++)); do
    moment
    shadow_runs || break
    outage "$what" --size=2097152 $options
    if [ $i = 5 ]; then
      threads=$(forwarder_threads) files=$(forwarder_files)
    fi
  done
  shadow_passed

  # Its last flush was answered: all must be in the file now.
  kill_child u
  cmp dump u.img || fail "the last flush was not true"
  if [ $outages -gt 5 ]; then
    echo "threads $threads, then $(forwarder_threads);" \
         "files $files, then $(forwarder_files)"
    [ "$(forwarder_threads)" -le $((threads + 6)) ] || fail "threads are left"
    [ "$(forwarder_files)" -le $((files + 8)) ] || fail "open files are left"
  fi
  stop_server s
  rm u.img
}

storms "" "--multi-conn" "--multi-conn --writeback=4"
step "without FUA, long requests, one connection"
options="--no-fua --writeback=3"
storm KILL --depth=16 --max-length=262144
