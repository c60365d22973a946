#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that is killed and restarted every second, under fio with verify.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
requires_fio

# What it has written is in the page cache, which a SIGKILL does not touch.
truncate -s 64M disk
upstream ()
{
  start_server u file "$tmp/disk"
}
upstream
start_forwarder socket="$tmp/u.sock" reconnect=60

run_fio_restarting
