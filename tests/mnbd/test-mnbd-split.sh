#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream's block sizes: its maximum splits requests, its minimum makes
# misaligned ones fail, and both are advertised.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set min=512,preferred=4096,max=64K
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
check("minimum", h.get_block_size(nbd.SIZE_MINIMUM), 512)
check("preferred", h.get_block_size(nbd.SIZE_PREFERRED), 4096)
h.pwrite(pattern(MiB), 512)
check("content", h.pread(MiB, 512), pattern(MiB))
h.pwrite(pattern(65536 + 512, 2), 0, nbd.CMD_FLAG_FUA)
check("content", h.pread(65536 + 512, 0), pattern(65536 + 512, 2))
refused("a misaligned read", errno.EINVAL, h.pread, 512, 100)
refused("a misaligned write", errno.EINVAL, h.pwrite, b"x" * 100, 512)
refused("a misaligned zero", errno.EINVAL, h.zero, 100, 512)
refused("a misaligned trim", errno.EINVAL, h.trim, 512, 1)
END
grep -q '"error": 22' u.jsonl && fail "the upstream got what it does not take"
[ "$(requests u read write | awk '$3 > m { m = $3 } END { print m }')" \
  -le 65536 ] || fail "a request was not split"
check "writes with FUA" \
  "$(requests u write | awk '$4 == "fua" { n++ } END { print (n > 0) }')" 1

step "every byte"
"$shadow" --align=512 --max-length=262144 --requests=1000 --connections=2 \
  "$(uri)" >out 2>&1 || fail "$(cat out)"
grep -q '"error": 22' u.jsonl && fail "the upstream got what it does not take"
stop_server s
end_fault_server u

step "trim and cache requests are sent whole, and zeroes 64 MiB at a time"
fault_server u --set size=256M,max=64K
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
h.trim(192 * MiB, 0)
h.cache(192 * MiB, 0)
h.zero(192 * MiB, 0)
END
check "requests" "$(requests u trim cache zero | cut -d ' ' -f 1,3 | uniq -c |
  tr -s ' ')" " 1 trim $((192 << 20))
 1 cache $((192 << 20))
 3 zero $((64 << 20))"
