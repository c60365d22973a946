#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The filter ends in good order: with and without clients, with the upstream
# there, away, or silent; and what a client wrote and did not flush is upstream.

. "$(dirname "$0")/../filter-functions.sh"

serve_filter ()
{
  start_server s --filter="$filter" "$mramdisk" size=1M mnbd-mode=forward \
    mnbd-socket="$tmp/u.sock" mnbd-control="$tmp/control" \
    mnbd-reconnect=600 "$@"
  # Its pid file comes before it has connected to a shared upstream; ended in
  # between it would be one that could not start.
  "$builddir/mblockctl" -s "$tmp/control" call help >out ||
    fail "the control socket does not answer"
}

step "nobody came"
serve_filter
stop_server s

step "shared, with the upstream there and away"
fault_server u
serve_filter mnbd-shared=true
stop_server s
serve_filter mnbd-shared=true
tell u down
stop_server s
tell u up

step "a client that goes without a flush"
serve_filter
python <<'END'
connect().pwrite(b"written", 0)
os._exit(0)
END
stop_server s
check "upstream" "$(requests u write | wc -l)" 1
check "flushed" "$(requests u flush | wc -l)" 1

step "a client whose request waits for a server that is away"
serve_filter
python <<'END' &
h = connect()
h.pread(1, 0)
open("ready", "w").close()
try:
    while True:
        h.pread(1, 0)
except nbd.Error:
    pass
END
client=$!
wait_for "the client" [ -e ready ]
tell u down
sleep 0.5
stop_server s
wait $client
