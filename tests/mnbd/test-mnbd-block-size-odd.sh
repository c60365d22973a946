#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Block sizes beyond what nbdkit allows keep no client out, of the plugin or of
# the filter.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# sizes SAID TOLD: minimum, preferred, maximum.
sizes ()
{
  local min pref max
  step "$1"
  IFS=, read -r min pref max <<<"$1"
  fault_server u --set "min=$min,preferred=$pref,max=$max"
  start_forwarder socket="$tmp/u.sock"
  expected=$2 python <<'END'
import os
h = connect()
check("block sizes", " ".join(str(h.get_block_size(i)) for i in range(3)),
      os.environ["expected"])
n = h.get_block_size(nbd.SIZE_MINIMUM)
if n:
    h.pwrite(pattern(n), n)
    check("content", h.pread(n, n), pattern(n))
END
  stop_server s
  end_fault_server u
}
K=1024 M=$((1024 * 1024))
sizes 1,4K,32M "1 4096 $((32 * M))"
sizes 512,64M,64M "512 $((32 * M)) $((64 * M))"
sizes 4K,128M,4294967295 "4096 $((32 * M)) 4294967295"
sizes 1,1G,1G "1 $((32 * M)) $((1024 * M))"
sizes 64K,64K,64K "$((64 * K)) $((64 * K)) $((64 * K))"
# libnbd takes no notice of these, so neither do we; what a server like that
# wants of a request only it knows.
for said in 0,4K,64K 3,4K,64K 128K,256K,1M 4K,4K,512 512,4K,1000 1,5000,64K; do
  sizes "$said" "0 0 0"
done
