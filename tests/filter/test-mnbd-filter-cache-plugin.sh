#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The plugin beneath the cache fails, shrinks, is slow or takes one request at a
# time: no client sees an error or a wrong byte.

. "$(dirname "$0")/../cache-functions.sh"
requires_filter error noparallel

# try WHAT CACHE-PARAMETERS…: a client that keeps a shadow sees nothing wrong.
try ()
{
  step "$1"
  shift
  start_server u "$mramdisk" size=2M
  start_cache "$@"
  "$shadow" --requests=4000 --dump="$tmp/dump" \
    --connections=2 "$(uri)"
  nbdcopy "nbd+unix:///?socket=$tmp/u.sock" up
  cmp dump up || fail "the upstream differs"
}
finish_try ()
{
  stop_server s
  stop_server u
}

beneath=(--filter=error "$mramdisk" size=2M)
try "errors" error-rate=10%
[ "$(cache_stat local_errors)" -gt 0 ] || fail "there were none"
finish_try
try "no write succeeds" error-pwrite=ENOSPC error-pwrite-rate=100%
check "cached_bytes" "$(cache_stat cached_bytes)" 0
finish_try
try "no write succeeds, writeback" error-pwrite=EIO error-pwrite-rate=100% \
  mnbd-cache=writeback
check "cached_bytes" "$(cache_stat cached_bytes)" 0
finish_try

beneath=(--filter=noparallel "$mramdisk" size=2M)
try "one request at a time" serialize=all-requests mnbd-cache=writeback
finish_try
beneath=(--filter=noparallel "$mramdisk" size=2M)
try "one request of a client at a time" serialize=requests \
  mnbd-cache=writeback mnbd-cache-max=1M
finish_try
truncate -s 2M file
beneath=(file "$tmp/file")
try "a file"
finish_try

step "made smaller, and larger again"
random_file disk 8M
start_server u file disk
beneath=("$mramdisk" size=8M)
start_cache control="$tmp/plugin"
ctl ()
{
  "$builddir/mblockctl" -q -s "$tmp/plugin" "$@"
}
nbdcopy "$(uri)" copy
cmp copy disk
export -f ctl
export builddir
python <<'END'
import subprocess

def resize(size):
    subprocess.run(["bash", "-c", "ctl resize --force '' " + size], check=True)

disk = bytearray(open("disk", "rb").read())
h = connect()
resize("1M")
check("beyond the end", h.pread(4096, 5 << 20), disk[5 << 20:][:4096])
h.pwrite(b"w" * 5000, 6 << 20)
disk[6 << 20:(6 << 20) + 5000] = b"w" * 5000
check("all of it", h.pread(len(disk), 0), disk)
resize("8M")
check("larger again", h.pread(len(disk), 0), disk)
h.shutdown()
END
# Nobody knows what the cache has lost.
refused nbdinfo "$(uri)"
grep -q 'was made smaller, and may have lost a part of the cache' s.log ||
  fail "$(cat s.log)"
ctl resize --force '' 1M
refused nbdinfo "$(uri)"
grep -q 'disk has 1048576 bytes now, but the cache needs 8388608' s.log ||
  fail "$(cat s.log)"
stop_server s
stop_server u

step "made smaller, but large enough"
head -c 4M disk >small
start_server u file small
start_cache control="$tmp/plugin"
nbdcopy "$(uri)" copy
for size in 7M 6M 9M 8M 9M 8M 5M; do
  ctl resize --force '' $size
  nbdcopy "$(uri)" copy
  cmp copy small
done
ctl resize --force '' 3M
ctl resize --force '' 8M
refused nbdinfo "$(uri)"
grep -q 'was made smaller, and may have lost a part of the cache' s.log ||
  fail "$(cat s.log)"
stop_server s
