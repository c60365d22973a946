#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# -D mnbd.figures=1 logs what has happened when the last client leaves.

. "$(dirname "$0")/mnbd-functions.sh"
only_mnbd

start_server u memory 1M
start_forwarder -D mnbd.figures=1 socket="$tmp/u.sock" connections=2
python <<'END'
h = connect()
h.pwrite(pattern(10000), 0)
h.pread(5000, 0)
h.zero(4096, 65536)
h.flush()
END
stop_server s
figures=$(grep 'figures of export ""' s.log) || fail "no figures: $(cat s.log)"
for figure in read=1 write=1 zero=1 flush=1 bytes_read=5000 \
              bytes_written=10000 errors=0 outages=0 connections=2; do
  case "$figures " in
    *[\ :]"$figure "*) ;;
    *) fail "expected $figure in: $figures" ;;
  esac
done
