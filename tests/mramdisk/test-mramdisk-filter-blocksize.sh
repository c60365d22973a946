#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The blocksize filter makes a disk with sectors byte-addressable.

. "$(dirname "$0")/../functions.sh"

requires_filter blocksize
start_server s --filter=blocksize --filter=log "$mramdisk" size=1M \
  sector-size=4096 minblock=4096 maxdata=64K logfile="$tmp/requests"
python <<'END'
h = connect("d")
h.pwrite(pattern(3 * PAGE), 0)
h.pwrite(b"x", 5000)
data = bytearray(pattern(3 * PAGE))
data[5000] = ord("x")
check("one byte of a sector", h.pread(3 * PAGE, 0), bytes(data))
check("read of some bytes", h.pread(3, 4999), bytes(data[4999:5002]))
h.pwrite(pattern(300001), 100001)
check("a large one that is not aligned", h.pread(300001, 100001),
      pattern(300001))
END
step "the disk saw only whole sectors, and no more than 64 KiB"
range='offset=\(0x[0-9a-f]*\) count=\(0x[0-9a-f]*\)'
sed -n "s/.* \(Read\|Write\) id=.* $range.*/\2 \3/p" requests >seen
[ -s seen ] || fail "no requests in: $(cat requests)"
while read -r offset count; do
  [ $((offset % 4096 + count % 4096)) = 0 ] ||
    fail "the disk saw $count bytes at $offset"
  [ $((count)) -le 65536 ] || fail "the disk saw $count bytes in a request"
done <seen
