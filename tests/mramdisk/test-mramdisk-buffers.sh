#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit's own buffers are bounded, as the manual says: by max-connections and
# max-request.

. "$(dirname "$0")/../functions.sh"

step "the announced maximum"
serve size=1M
python <<'END'
h = connect()
check("default", h.get_block_size(nbd.SIZE_MAXIMUM), MiB)
END
stop_server s
serve size=1M sector-size=64k max-request=64k
python <<'END'
h = connect()
check("smallest", (h.get_block_size(nbd.SIZE_PREFERRED),
                   h.get_block_size(nbd.SIZE_MAXIMUM)), (65536, 65536))
END
stop_server s

step "max-connections="
serve size=1M max-connections=2
python <<'END'
import time
a, b = connect("a"), connect("b")
refused("a third", None, connect, "c")
check("no disk was made for it", "c" in names(), False)
a.pwrite(b"a", 0)
b.shutdown()
for i in range(600):            # nbdkit closes it soon
    try:
        c = connect("c")
        break
    except nbd.Error:
        time.sleep(0.05)
c.pwrite(b"c", 0)
check("the first", a.pread(1, 0), b"a")
END
line='error: export "c": there are max-connections=2 connections already'
grep -qF "$line" s.log || fail "the log does not have: $line"
stop_server s

# bounded CONNECTIONS THREADS ARGUMENTS…: each thread has large requests, and
# then the largest that is announced.
bounded ()
{
  local connections=$1 threads=$2
  shift 2
  step "what $connections connections of $threads threads take"
  serve size=64M max-memory=64M max-connections=$connections max-request=256k \
    "$@"
  SERVER=$pid CONNECTIONS=$connections THREADS=$threads python <<'END'
import time

def resident():
    for line in open("/proc/%s/status" % os.environ["SERVER"]):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KiB

MOST = 256 * KiB
N, T = int(os.environ["CONNECTIONS"]), int(os.environ["THREADS"])
# The manual's formula.
bound = 64 * MiB + N * (T + 1) * MOST + N * T * 64 * KiB + 32 * MiB
fill = connect("d")
for i in range(0, 48 * MiB, MiB):
    fill.pwrite(pattern(MiB, i), i)
first = fill.pread(MOST, 0)
del fill
h = [connect("d") for i in range(N - 1)]
large = 0
for i, c in enumerate(h):
    # One after the other they come to all threads in turn.
    for j in range(T):
        try:
            c.pread(32 * MiB, 0)
            large += 1
        except nbd.Error as e:
            check("errno", e.errno, "EINVAL")
        try:
            c.pwrite(bytes(4 * MiB), 0 + 56 * MiB)
            large += 1
        except nbd.Error as e:
            check("errno", e.errno, "EINVAL")
    if i % 10 == 0 and resident() > bound:
        break
print("%d MiB resident, at most %d MiB; %d large requests were served" %
      (resident() // MiB, bound // MiB, large))
check("bounded", resident() <= bound, True)
check("one is refused at last", large < 2 * T * len(h), True)
for c in h:
    for j in range(T):
        check("a request of the size that is announced", c.pread(MOST, 0),
              first)
check("bounded", resident() <= bound, True)
del c, h
for i in range(600):            # nbdkit closes them soon
    left = resident()
    if left <= 64 * MiB + 32 * MiB:
        break
    time.sleep(0.05)
check("given back, of %d" % left, left <= 64 * MiB + 32 * MiB, True)
END
  stop_server s
}
bounded 40 1
bounded 20 4 parallel=yes -t 4

step "a few large requests are served, and more when those are gone"
serve size=64M max-connections=64
python <<'END'
import time
for i in range(2):
    h = [connect("d")]
    data = pattern(32 * MiB, i)
    for k in range(600):        # the last ones may not be closed yet
        try:
            h[0].pwrite(data, 0)
            break
        except nbd.Error:
            time.sleep(0.05)
    h.append(connect("d"))
    check("content", h[1].pread(32 * MiB, 0) == data, True)
    # The same threads may have the same again, as often as they like.
    for j in range(3):
        h[1].pread(32 * MiB, 32 * MiB)
    h.append(connect("d"))
    refused("a third", errno.EINVAL, h[2].pread, 32 * MiB, 0)
    check("afterwards", h[2].pread(MiB, 0), data[:MiB])
    for c in h:
        c.shutdown()
END
grep -qF 'disk "d": read of 33554432 bytes at 0: over max-request=1M, and '\
'no memory is left for the excess' s.log || fail "the log does not say why"
