#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mnbd-cache=writeback: the effect of a flush, FUA, age, the end of nbdkit and a
# SIGKILL on the upstream.

. "$(dirname "$0")/../cache-functions.sh"

truncate -s 8M disk
start_server u file disk
start_cache mnbd-cache=writeback mnbd-cache-dirty-age=3600
is_zero ()
{
  cmp -s -n "$1" -i "$2":0 disk /dev/zero
}

step "flush and FUA"
python <<'END'
def disk(n, offset):
    with open("disk", "rb") as f:
        f.seek(offset)
        return f.read(n)
h = connect()
h.pwrite(b"a" * 100000, 4096)
check("before the flush", disk(100000, 4096), bytes(100000))
check("the client sees it", h.pread(100000, 4096), b"a" * 100000)
h.pwrite(b"f" * 4096, 1 << 20, nbd.CMD_FLAG_FUA)
check("FUA", disk(4096, 1 << 20), b"f" * 4096)
check("before the flush", disk(100000, 4096), bytes(100000))
h.flush()
check("after the flush", disk(100000, 4096), b"a" * 100000)
h.pwrite(b"b" * 4096, 4096)
h.zero(4096, 8192)
check("a zero goes through", disk(8192, 4096), b"a" * 4096 + bytes(4096))
h.flush()
check("after the flush", disk(8192, 4096), b"b" * 4096 + bytes(4096))
END
check "dirty_bytes" "$(cache_stat dirty_bytes)" 0

step "the end of nbdkit"
python <<'END'
h = connect()
h.pwrite(b"e" * 300000, 2 << 20)
END
is_zero 300000 2097152 || fail "it is upstream already"
stop_server s
head -c 300000 /dev/zero | tr '\0' e | cmp -i 0:2097152 -n 300000 - disk

step "age"
start_cache mnbd-cache=writeback mnbd-cache-dirty-age=1
python <<'END'
h = connect()
h.pwrite(b"o" * 300000, 3 << 20)
END
wait_for "writeback by age" cache_stat_is dirty_bytes 0
head -c 300000 /dev/zero | tr '\0' o | cmp -i 0:3145728 -n 300000 - disk
stop_server s

step "too much"
start_cache mnbd-cache=writeback mnbd-cache-dirty-age=3600 \
  mnbd-cache-dirty-max=1M
python <<'END'
h = connect()
for i in range(64):
    h.pwrite(b"m" * 65536, (4 << 20) + i * 65536)
END
[ "$(cache_stat dirty_bytes)" -le 1048576 ] || fail "$(cache_stat dirty_bytes)"
[ "$(cache_stat writeback_bytes)" -ge 3145728 ] || fail "$(cache_stat writeback_bytes)"
stop_server s

step "SIGKILL during writeback: what was flushed is upstream"
# nbdkit 1.32 may fail an assertion when a client goes away, if more than one
# thread serves its connection.
stop_server u
start_server u -t 1 file disk
for i in 1 2 3 4 5; do
  truncate -s 0 disk
  truncate -s 8M disk
  start_cache mnbd-cache=writeback mnbd-cache-dirty-max=1M \
    mnbd-cache-dirty-age=1
  rm -f flushed
  python >python.out 2>&1 <<'END' &
# Write numbers, flush, and note which ones were flushed.
import struct

h = connect()
i = 0
note = open("flushed", "w")
while True:
    for j in range(50):
        i += 1
        h.pwrite(struct.pack("<Q", i) * 512, (i * 7919 % 2048) * 4096)
    h.flush()
    note.seek(0)
    note.write("%d\n" % i)
    note.flush()
END
  writer=$!
  child writer $writer
  wait_for "a flush" [ -s flushed ]
  sleep 0.$((RANDOM % 5 + 1))
  crash_server s
  rc=0
  wait $writer || rc=$?
  unset "children[writer]"
  [ $rc -ne 0 ] || fail "the writer ended by itself: $(cat python.out)"
  python <<'END'
import struct

last = int(open("flushed").read())
data = open("disk", "rb").read()
newest = {}
for i in range(1, last + 1):
    newest[i * 7919 % 2048] = i
for block, i in newest.items():
    words = struct.unpack("<512Q", data[block * 4096:(block + 1) * 4096])
    # Later writes, not flushed, may be there or not; older ones must not.
    bad = [w for w in words if w < i or w * 7919 % 2048 != block]
    check("block %d, of %d flushed writes" % (block, last), bad, [])
print("%d writes were flushed, all are there" % last)
END
done
