#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# -D mnbd.stats=1 logs the statistics when the last client disconnects.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

start_server u memory 1M
start_forwarder -D mnbd.stats=1 socket="$tmp/u.sock" connections=2
python <<'END'
h = connect()
h.pwrite(pattern(10000), 0)
h.pread(5000, 0)
h.zero(4096, 65536)
h.flush()
END
wait_for "the statistics" grep -q 'statistics of export ""' s.log
stop_server s
stats=$(grep 'statistics of export ""' s.log)
for stat in read=1 write=1 zero=1 flush=1 bytes_read=5000 \
            bytes_written=10000 errors=0 outages=0 connections=2; do
  case "$stats " in
    *[\ :]"$stat "*) ;;
    *) fail "expected $stat in: $stats" ;;
  esac
done
