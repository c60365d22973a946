#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# After random requests, a disk equals a byte array after the same requests.

. "$(dirname "$0")/../functions.sh"

serve size=9M disk=d,size=9437185
python <<'END'
import random

size = 9 * MiB + 1
seed = random.randrange(1 << 32)
print("seed", seed)
rnd = random.Random(seed)
shadow = bytearray(size)
h = [connect("d"), connect("d")]

for i in range(400):
    c = h[i % 2]
    count = rnd.choice((1, 100, 4096, 5000, 65536, 300000, 3000000))
    count = rnd.randint(1, count)
    offset = rnd.choice((0, PAGE, LEAF, 2 * LEAF, size, rnd.randrange(size)))
    offset = max(0, min(offset - rnd.choice((0, count // 2, count)),
                        size - count))
    op = rnd.randrange(5)
    if op == 0:
        data = pattern(count, i)
        c.pwrite(data, offset)
        shadow[offset:offset + count] = data
    elif op == 1:
        c.zero(count, offset, rnd.choice((0, nbd.CMD_FLAG_NO_HOLE)))
        shadow[offset:offset + count] = bytes(count)
    elif op == 2:
        c.trim(count, offset)
        # Whole pages go, what is left of others stays.
        end = offset + count
        first = -(-offset // PAGE) * PAGE
        last = end if end == size else end // PAGE * PAGE
        if first < last:
            keep = shadow[offset:min(first, end)]
            got = c.pread(count, offset)
            shadow[first:last] = got[first - offset:last - offset]
            check("trimmed pages read as zeros (step %d)" % i,
                  got[first - offset:end // PAGE * PAGE - offset].strip(b"\0")
                  if end // PAGE * PAGE > first else b"", b"")
            check("before the trimmed pages (step %d)" % i,
                  got[:min(first, end) - offset], bytes(keep))
    else:
        got = c.pread(count, offset)
        if got != shadow[offset:offset + count]:
            raise SystemExit("FAIL: step %d: %d bytes at %d differ from the "
                             "shadow" % (i, count, offset))
for offset in range(0, size, MiB):
    n = min(MiB, size - offset)
    if h[0].pread(n, offset) != shadow[offset:offset + n]:
        raise SystemExit("FAIL: at the end the MiB at %d differs" % offset)
# What has data is in the map, and holes and zeros read as zeros.
offset = 0
for length, state in extents(h[1]):
    if state != "data" and shadow[offset:offset + length].strip(b"\0"):
        raise SystemExit("FAIL: %s at %d, but there is data" % (state, offset))
    offset += length
check("extents cover the disk", offset, size)
END
