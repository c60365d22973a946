#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream is killed and restarted again and again under fio with verify,
# through the cache in both modes.

. "$(dirname "$0")/../cache-functions.sh"
requires_fio

truncate -s 64M disk
upstream ()
{
  start_server u file disk
}
beneath=("$mramdisk" size=64M)

for mode in writethrough writeback; do
  step "$mode"
  upstream
  start_cache mnbd-cache=$mode mnbd-cache-max=24M mnbd-reconnect=60
  run_fio_restarting
  nbdcopy "$(uri)" through
  stop_server s
  cmp through disk || fail "the upstream differs"
  stop_server u
done
