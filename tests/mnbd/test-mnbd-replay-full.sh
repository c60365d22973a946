#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The replay buffer is bounded: when it is full, mnbd flushes by itself, and its
# memory stays within the limit plus 16 MiB.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set size=64M
start_forwarder socket="$tmp/u.sock" replay-buffer=1M reconnect=30
step "16 MiB of writes through a buffer of 1 MiB"
python <<'END'
h = connect()
for i in range(256):
    h.pwrite(pattern(65536, i), i * 65536)
END
flushes=$(requests u flush | wc -l)
[ "$flushes" -ge 14 ] || fail "$flushes flushes, expected at least 14"
[ "$flushes" -le 64 ] || fail "$flushes flushes, expected at most 64"

step "what is replayed is no more than the buffer"
before=$(wc -l <u.jsonl)
tell u drop
python <<'END'
h = connect()
for i in range(256):
    check("block %d" % i, h.pread(65536, i * 65536), pattern(65536, i))
END
tail -n +$((before + 1)) u.jsonl >new && cp new u.jsonl
replayed=$(requests u write | awk '{ n += $3 } END { print n + 0 }')
[ "$replayed" -le 1048576 ] || fail "$replayed bytes were replayed"

step "a write that is larger than the buffer"
python <<'END'
h = connect()
h.pwrite(pattern(4 * MiB, 7), 0)
check("content", h.pread(4 * MiB, 0), pattern(4 * MiB, 7))
END
tell u drop
python <<'END'
h = connect()
check("content", h.pread(4 * MiB, 0), pattern(4 * MiB, 7))
END
stop_server s

step "many small requests have a cost of their own, which counts"
start_forwarder socket="$tmp/u.sock" replay-buffer=1M reconnect=30
before=$(requests u flush | wc -l)
high_water ()
{
  awk '/^VmHWM:/ { print $2 }' "/proc/$(cat s.pid)/status"
}
python <<'END'
connect().pread(512, 0)
END
base=$(high_water)
python <<'END'
h = connect()
for i in range(20000):
    h.zero(1, i * 2)
END
grown=$(($(high_water) - base))
[ $grown -le $((1024 + 16 * 1024)) ] || fail "it grew by $grown KiB"
stop_server s

step "64 MiB of buffer, 300 MiB of writes: bounded memory"
volatile_server v --size=67108864 --multi-conn
start_forwarder socket="$tmp/v.sock" replay-buffer=64M reconnect=30
python <<'END'
h = connect()
for i in range(16):
    h.pread(MiB, i * MiB)
END
base=$(high_water)
python <<'END'
h = connect()
for i in range(300):
    h.pwrite(pattern(MiB, i), i % 64 * MiB)
END
grown=$(($(high_water) - base))
echo "grown by $grown KiB"
[ $grown -le $(((64 + 16) * 1024)) ] ||
  fail "it grew by $grown KiB, expected at most 80 MiB"
