#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that answers out of order, in several chunks, and slowly.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u --set size=2M
start_forwarder socket="$tmp/u.sock"
run ()
{
  "$shadow" --trim-zeroes "$@" "$(uri)" >out 2>&1 ||
    fail "$*: $(cat out; tail -n 5 u.err)"
}

step "answers in reverse"
tell u fault on=any,do=reorder,depth=5
run --requests=600 --connections=2 --depth=16

step "reads in chunks, last first"
tell u clear
tell u set chunks=700
run --requests=600 --connections=2 --depth=16

step "both"
tell u fault on=read,do=reorder,depth=3
run --requests=400 --connections=3

step "some answers are slow, and others overtake them"
tell u clear
tell u fault on=any,every=3,do=slow,ms=30
tell u fault on=any,every=7,do=slow,ms=80
run --requests=400 --connections=3

step "without structured replies"
stop_server s
tell u set structured=no,chunks=0
start_forwarder socket="$tmp/u.sock"
run --requests=400 --connections=3
