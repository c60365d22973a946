#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# fio with verify over a mirror whose secondary is killed and restarted every
# second, or fails requests; in the end both sides are the same.

. "$(dirname "$0")/mirror-functions.sh"
requires fio
fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"

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

# run_fio: until it ends, do what "harm" does again and again.
run_fio ()
{
  local rc=0 fio_pid
  fio --output=out job &
  fio_pid=$!
  child fio $fio_pid
  while sleep 0.8; kill -0 $fio_pid 2>/dev/null; do
    harm
  done
  wait $fio_pid || rc=$?
  unset "children[fio]"
  [ $rc -eq 0 ] || fail "fio: $(cat out)"
  check "jobs without errors" "$(grep -c 'err= 0' out)" 3
  synchronised_and_same
  mirror <<'END'
check("outages", status()["outages"] >= 2, True)
END
}

step "a RAM disk that is empty each time it is back"
start_server u "$mramdisk" size=64M
start_mirror "$mramdisk" size=64M
harm ()
{
  crash_server u
  sleep 0.2
  start_server u "$mramdisk" size=64M
}
run_fio
stop_server s
stop_server u

step "a server that fails a request now and then, in all ways"
fault_server u --set size=67108864,multi_conn=1 \
  --fault on=write,do=error,errno=EIO,every=7001 \
  --fault on=write,do=close,every=9007 \
  --fault on=flush,do=error,errno=EIO,every=53 \
  --fault on=read,do=partial,bytes=7,every=997 \
  --fault on=write,do=magic,every=11003 \
  --fault on=any,do=slow,ms=30,every=53
start_mirror "$mramdisk" size=64M mnbd-connections=2
harm ()
{
  :
}
run_fio
