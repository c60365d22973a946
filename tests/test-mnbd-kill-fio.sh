#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that is killed and restarted every second, under fio with verify.

. "$(dirname "$0")/mnbd-functions.sh"
only_mnbd
requires fio
fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"

# What it has written is in the page cache, which a SIGKILL does not touch.
truncate -s 64M disk
upstream ()
{
  start_server u file "$tmp/disk"
}
upstream
start_forwarder socket="$tmp/u.sock" reconnect=60

# Each job has one block size: with random ones fio 3.33 misses its own blocks,
# on a server that nobody kills and without mnbd just as well.
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
