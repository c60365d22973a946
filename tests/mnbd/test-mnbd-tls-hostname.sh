#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tls-hostname= is the name that the server's certificate must have, also over a
# Unix socket; without libnbd 1.22 it is refused.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

rc=0
forwarder socket=/nonexistent tls-hostname=
nbdkit -U - "${forwarder[@]}" --run true >out 2>&1 || rc=$?
[ $rc -ne 0 ] || fail "an empty name: it was accepted"
grep -q "tls-hostname=: expected the name in the server's certificate" out ||
  fail "an empty name: $(cat out)"

rc=0
forwarder socket=/nonexistent tls-hostname=a
nbdkit -U - "${forwarder[@]}" --run true >out 2>&1 || rc=$?
if [ $rc -ne 0 ]; then
  check "lines about it" "$(wc -l <out)" 1
  grep -q 'tls-hostname=a: this needs libnbd 1.22 or later, and libnbd is 1\.' \
    out || fail "an old libnbd: $(cat out)"
  exit 0
fi

make_certificates good
free_port
options=(--tls=require --tls-verify-peer --tls-certificates="$tmp/good")
nbdkit -f -i 127.0.0.1 -p "$port" "${options[@]}" -P "$tmp/tcp.pid" \
  memory 16M 2>tcp.err &
child tcp $!
wait_for "the server" [ -s tcp.pid ]
start_server unix "${options[@]}" memory 16M

for way in "hostname=127.0.0.1 port=$port" "socket=$tmp/unix.sock"; do
  set -- $way tls=require tls-certificates="$tmp/good"
  try_forwarder "$@" tls-hostname=localhost
  check "$way, with its name" "$rc $(cat out)" "0 16777216"
  try_forwarder "$@" tls-hostname=other
  [ $rc -ne 0 ] || fail "$way, with another name: it was let in"
  try_forwarder "$@" tls-verify=false
  check "$way, not verified" "$rc $(cat out)" "0 16777216"
done
