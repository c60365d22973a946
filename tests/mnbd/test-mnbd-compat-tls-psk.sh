#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS to the server with a pre-shared key.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins
requires psktool
requires_nbdkit tls

psktool -u alice -p keys.psk >out 2>&1
psktool -u alice -p other.psk >out 2>&1
start_server u --tls=require --tls-psk="$tmp/keys.psk" memory 16M
attempt ()
{
  try_forwarder socket="$tmp/u.sock" "$@"
}
attempt tls=require tls-psk="$tmp/keys.psk" tls-username=alice
check "with the key" "$rc $(cat out)" "0 16777216"
attempt tls-psk="$tmp/keys.psk" tls-username=alice
check "tls= is on by default then" "$rc $(cat out)" "0 16777216"
for wrong in "tls=off" "tls=require tls-psk=$tmp/other.psk tls-username=alice" \
             "tls=require tls-psk=$tmp/keys.psk tls-username=mallory"; do
  step "refused: $wrong"
  # shellcheck disable=SC2086
  attempt $wrong
  [ $rc -ne 0 ] || fail "$wrong: it was let in"
done

step "tls=require and a server without TLS; tls=on goes on without"
stop_server u
start_server u memory 16M
attempt tls=require tls-psk="$tmp/keys.psk" tls-username=alice
[ $rc -ne 0 ] || fail "it went on without TLS"
attempt tls=on tls-psk="$tmp/keys.psk" tls-username=alice
check "tls=on" "$rc $(cat out)" "0 16777216"
