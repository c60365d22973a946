#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A request that is never answered: request-timeout= ends the connection, and
# the request is sent again on a new one.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock" request-timeout=1 reconnect=600
faults=0
for cmd in read write zero trim flush cache extents; do
  for what in never ignore; do
    step "$cmd, $what"
    tell u clear
    tell u fault "on=$cmd,do=$what,times=2"
    python <<END
h = connect()
h.pwrite(pattern(8192), 4096)
check("read", h.pread(8192, 4096), pattern(8192))
h.zero(4096, 12288, nbd.CMD_FLAG_NO_HOLE)
h.trim(4096, 16384)
h.cache(4096, 0)
h.flush()
check("extents", extents(h, 20480),
      [(4096, "hole"), (8192, "data"), (4096, "zero"), (4096, "hole")])
END
    faults=$((faults + 2))
    check "faults" "$(grep -c '"event": "fault"' u.jsonl)" $faults
  done
done

step "slow, but within the time: no request is sent twice"
tell u clear
stop_server s
start_forwarder socket="$tmp/u.sock" request-timeout=60
tell u fault on=any,do=slow,ms=2000
before=$(requests u read write | wc -l)
python <<'END'
h = connect()
h.pwrite(pattern(8192), 4096)
check("read", h.pread(8192, 4096), pattern(8192))
END
after=$(requests u read write | wc -l)
check "writes and reads at the server" $((after - before)) 2
