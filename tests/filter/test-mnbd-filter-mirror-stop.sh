#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Switch-over under load: the secondary is what the primary was after exactly so
# many writes as the answer says, while the client goes on writing.

. "$(dirname "$0")/../mirror-functions.sh"

start_server u "$mramdisk" size=1M
start_mirror "$mramdisk" size=1M
mirror <<'END'
import threading

synchronised()
size, block = MiB, 512
blocks = size // block
end = threading.Event()
total = 0

def write():
    """Write number n, from 1, has n in each of its bytes' places."""
    global total
    h = connect()
    while not end.is_set():
        h.pwrite((total + 1).to_bytes(8, "little") * (block // 8),
                 total % blocks * block)
        total += 1
    h.shutdown()

thread = Thread(target=write)
thread.start()
u = connect(server="u")
for i in range(5):
    time.sleep(0.1 + 0.037 * i)
    r = control.call("mirror_stop")
    check("consistent", r["consistent"], True)
    n = r["writes"]
    image = bytes(u.pread(size, 0))
    for b in range(blocks):
        # The last write to this block of the first n.
        last = (n - 1 - b) // blocks * blocks + b + 1 if n > b else 0
        check("block %d after %d writes" % (b, n),
              int.from_bytes(image[b * block:b * block + 8], "little"), last)
    control.call("mirror_start", resume=i % 2 == 0)
    synchronised()
end.set()
thread.join()
check("it went on", total > n, True)
same()
END
