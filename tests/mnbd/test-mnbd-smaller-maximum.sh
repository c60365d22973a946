#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream returns with a smaller maximum block size: replayed, interrupted
# and later requests are split.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set size=16M,max=32M
start_forwarder socket="$tmp/u.sock" reconnect=30
python <<'END'
h = connect()
h.pwrite(pattern(2 * MiB), 0)
h.flush()
h.pwrite(pattern(MiB, 2), 4 * MiB) # is in the log

tell("fault on=write,do=never,times=1")
data = nbd.Buffer.from_bytearray(bytearray(pattern(MiB + 512, 3)))
c = h.aio_pwrite(data, 8 * MiB)
while tell("count write") != "3":
    h.poll(10)
tell("set max=64K")
tell("clear")
tell("drop")
while not h.aio_command_completed(c):
    h.poll(-1)

check("flushed", h.pread(2 * MiB, 0), pattern(2 * MiB))
check("in the log", h.pread(MiB, 4 * MiB), pattern(MiB, 2))
check("interrupted", h.pread(MiB + 512, 8 * MiB), pattern(MiB + 512, 3))
h.pwrite(pattern(3 * MiB, 4), 1000, nbd.CMD_FLAG_FUA)
check("new", h.pread(3 * MiB, 1000), pattern(3 * MiB, 4))
check("promised", h.get_block_size(nbd.SIZE_MAXIMUM), 32 * MiB)
check("of a new client", connect().get_block_size(nbd.SIZE_MAXIMUM), 32 * MiB)
END
grep -q '"error": 22' u.jsonl && fail "the upstream got what it does not take"
check "requests as they were" "$(requests u write | awk '$3 > 65536' | wc -l)" 3

step "a client after the last one is promised what there is"
tell u "set max=128K"
python <<'END'
become("maximum", lambda: connect().get_block_size(nbd.SIZE_MAXIMUM),
       128 * 1024)
END
