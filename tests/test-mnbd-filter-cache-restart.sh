#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream is killed and restarted again and again under fio with verify,
# through the cache in both modes.

. "$(dirname "$0")/cache-functions.sh"
requires fio
fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"

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
  # One block size for each job, as in test-mnbd-kill-fio.sh.
  cat >job <<END
[global]
ioengine=nbd
uri=$(uri)
size=8m
iodepth=16
verify=crc32c
verify_fatal=1
time_based
runtime=$seconds
[small]
rw=randrw
bs=4k
[flushing]
rw=randwrite
bs=16k
offset=16m
fsync=64
[large]
rw=write
bs=256k
offset=32m
END
  fio --output=out job &
  fio_pid=$!
  child fio $fio_pid
  kills=0
  while sleep 0.8; kill -0 $fio_pid 2>/dev/null; do
    crash_server u
    sleep 0.2
    upstream
    kills=$((kills + 1))
  done
  rc=0
  wait $fio_pid || rc=$?
  unset "children[fio]"
  echo "$kills restarts"
  [ $rc -eq 0 ] || fail "fio: $(cat out)"
  check "jobs without errors" "$(grep -c 'err= 0' out)" 3
  [ $kills -ge 2 ] || fail "fio ended too early: $(cat out)"
  nbdcopy "$(uri)" through
  stop_server s
  cmp through disk || fail "the upstream differs"
  stop_server u
done
