#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Writers next to each other, on many connections, keep their bytes.

. "$(dirname "$0")/../functions.sh"

serve size=16M parallel=yes
python <<'END'
# Connection i writes each 8th run of bytes, so that all of them fill the same
# pages at the same time; runs are of odd lengths and cross pages and leaves.
N = 8
RUN = 1237
START = LEAF - 200 * N * RUN // 2
h = [connect("d") for i in range(N)]
for round in range(3):
    kept = []
    for run in range(200):
        for i in range(N):
            b = nbd.Buffer.from_bytearray(
                bytearray(pattern(RUN, round * 100 + i)))
            kept.append(b)
            h[i].aio_pwrite(b, START + (run * N + i) * RUN)
        for c in h:
            if c.aio_in_flight() > 16:
                c.poll(0)
    for c in h:
        while c.aio_in_flight() > 0:
            c.poll(-1)
    got = connect("d").pread(200 * N * RUN, START)
    for run in range(200 * N):
        if (got[run * RUN:(run + 1) * RUN] !=
                pattern(RUN, round * 100 + run % N)):
            raise SystemExit("FAIL: round %d: run %d of connection %d is not "
                             "what it wrote" % (round, run, run % N))
    if round == 1:
        h[0].trim(16 * MiB, 0)
check("before and after is nothing", h[0].pread(10, START - 10) +
      h[0].pread(10, START + 200 * N * RUN), bytes(20))
END
