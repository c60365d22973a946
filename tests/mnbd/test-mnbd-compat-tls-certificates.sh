#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS to the server with certificates, and tls-verify=.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins
make_certificates good bad

free_port
nbdkit -f -i 127.0.0.1 -p "$port" --tls=require --tls-verify-peer \
  --tls-certificates="$tmp/good" -P "$tmp/u.pid" memory 16M 2>u.err &
child u $!
wait_for "the server" [ -s u.pid ]
try_forwarder hostname=localhost port="$port" tls=require \
  tls-certificates="$tmp/good"
check "with certificates" "$rc $(cat out)" "0 16777216"
try_forwarder "nbds://localhost:$port/" tls-certificates="$tmp/good"
check "by URI" "$rc $(cat out)" "0 16777216"
try_forwarder hostname=localhost port="$port" tls=require \
  tls-certificates="$tmp/bad"
[ $rc -ne 0 ] || fail "another authority: it was let in"
try_forwarder hostname=127.0.0.1 port="$port" tls=require \
  tls-certificates="$tmp/good"
[ $rc -ne 0 ] || fail "another name: it was let in"
try_forwarder hostname=127.0.0.1 port="$port" tls=require \
  tls-certificates="$tmp/good" tls-verify=false
check "another name, not verified" "$rc $(cat out)" "0 16777216"
try_forwarder hostname=localhost port="$port"
[ $rc -ne 0 ] || fail "without TLS: it was let in"
