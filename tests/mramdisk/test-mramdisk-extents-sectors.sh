#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Extents are whole sectors, whatever the request, so that a client can continue
# where the last one ended, on disks of any size.

. "$(dirname "$0")/../functions.sh"

serve auto-create=no detect-zeroes=yes control=control disk=b,size=3M \
  disk=k,size=3M,sector-size=512 disk=p,size=3M,sector-size=4k \
  disk=m,size=3M,sector-size=16k disk=s,size=3M,sector-size=64k \
  disk=huge,size=1T,sector-size=64k disk=large,size=6G,sector-size=512 \
  disk=bytes,size=6G
python <<'END'
import random
from controltest import *
c = Control()
rnd = random.Random(9)

def walk(h, most, flags=0):
    """All extents, each request beginning where the last extent ended."""
    size, sector, r, at = h.get_size(), h.get_block_size(nbd.SIZE_MINIMUM), [], 0
    most = most // sector * sector
    while at < size:
        for length, state in extents_once(h, min(most, size - at), at, flags):
            check("multiple of %d: %d" % (sector, length), length % sector, 0)
            r.append((at, length, state))
            at += length
    check("the end", at, size)
    return r

def joined(found):
    r = []
    for at, length, state in found:
        if r and r[-1][2] == state:
            r[-1] = r[-1][0], r[-1][1] + length, state
        else:
            r.append((at, length, state))
    return r

for name in "bkpms":
    h = connect(name)
    size, sector = h.get_size(), max(PAGE, h.get_block_size(nbd.SIZE_MINIMUM))
    data = bytearray(size)
    for i in range(100):
        at = rnd.randrange(size // PAGE) * PAGE
        data[at + rnd.randrange(PAGE)] = 1 + rnd.randrange(255)
    h.pwrite(data, 0)
    state = {at: "data" if any(data[at:at + sector]) else "hole"
             for at in range(0, size, sector)}
    # Sectors of zeros that are allocated, next to holes and data.
    for i in range(10):
        at = rnd.randrange(size // sector) * sector
        h.zero(sector, at, nbd.CMD_FLAG_NO_HOLE)
        state[at] = "zero"
    expected = joined([(at, sector, state[at]) for at in sorted(state)])
    for most in size, sector, 5 * sector, 2 * MiB:
        for flags in 0, nbd.CMD_FLAG_REQ_ONE:
            check("%s, by %d" % (name, most), joined(walk(h, most, flags)),
                  expected)
    reply = c.call("disk_extents", name=name, limit=10000)["extents"]
    check("%s, by the control socket" % name,
          [(e["offset"], e["length"], e["type"]) for e in reply], expected)

# The protocol's lengths are of 32 bits, and 2^32-1 is no multiple of a sector.
for name in "huge", "large", "bytes":
    h = connect(name)
    for most in 2 ** 32 - 1, 2 ** 32 - 65536, 2 * GiB:
        check("%s, by %d" % (name, most), joined(walk(h, most)),
              [(0, h.get_size(), "hole")])
END
requires nbdcopy
step "nbdcopy, one request after the other"
nbdcopy --synchronous "$(uri s)" copy
cmp copy <(nbdcopy --no-extents "$(uri s)" - )
