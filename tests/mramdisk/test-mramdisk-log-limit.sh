#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A few failed requests a second are logged; the others are counted.

. "$(dirname "$0")/../functions.sh"

serve size=16M max-memory=1M
SECONDS=0
python <<'END'
FAILURES = 2000
hs = [connect("d") for i in range(4)]
hs[0].pwrite(b"x", 0)

def run(h):
    for i in range(FAILURES // len(hs)):
        refused("a write over max-memory", errno.ENOSPC, h.pwrite,
                bytes(2 * MiB), 1 * MiB)

threads = [Thread(target=run, args=(h,)) for h in hs]
for t in threads:
    t.start()
for t in threads:
    t.join()
for h in hs:
    h.shutdown()
END
took=$SECONDS
stop_server s
lines=$(grep -c ': max-memory=1M is reached$' s.log) || true
sums=$(grep -c ' more failures: ' s.log) || true
rest=$(sed -n 's/.*error: \([0-9]*\) more failures: .*/\1/p' s.log |
  awk '{ n += $1 } END { print n + 0 }')
check "requests that are logged or counted" $((lines + rest)) 2000
[ "$lines" -ge 5 ] || fail "$lines lines, expected at least 5"
[ "$lines" -le $((5 * (took + 2))) ] ||
  fail "$lines lines in about $took seconds, expected at most 5 a second"
[ "$sums" -le $((2 * (took + 2) + 1)) ] ||
  fail "$sums lines that count others, in about $took seconds"
