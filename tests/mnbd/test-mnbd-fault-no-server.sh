#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# No server: the client is refused, mnbd stays, and serves once there is one;
# retry= waits for it.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

step "without retry a client is refused at once"
start_forwarder socket="$tmp/u.sock"
python <<'END'
refused("without a server", None, connect)
END

step "and served as soon as there is a server"
fault_server u
python <<'END'
check("size", connect().get_size(), 16 * MiB)
END
stop_server s

step "retry=: the client waits for the server"
tell u down
start_forwarder socket="$tmp/u.sock" retry=20
(sleep 1.5; tell u up) &
later=$!
python <<'END'
check("size", connect().get_size(), 16 * MiB)
END
wait $later
stop_server s

step "shared=true connects at the start, and without a server there is none"
tell u down
rc=0
forwarder socket="$tmp/u.sock" shared=true
timeout 60 nbdkit -f -U "$tmp/x.sock" "${forwarder[@]}" >out 2>&1 || rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "it started: $(cat out)"
grep -q 'nbdkit: error: ' out || fail "it did not say why: $(cat out)"

step "shared=true with retry="
(sleep 1.5; tell u up) &
later=$!
start_forwarder socket="$tmp/u.sock" shared=true retry=20
wait $later
python <<'END'
check("size", connect().get_size(), 16 * MiB)
END
