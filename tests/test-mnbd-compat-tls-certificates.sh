#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS to the server with certificates, and tls-verify=.

. "$(dirname "$0")/mnbd-functions.sh"
both_plugins
requires certtool
requires_nbdkit tls

for ca in good bad; do
  mkdir $ca
  printf '%s\n' 'cn = mblock test' ca cert_signing_key >$ca/ca.info
  printf '%s\n' 'cn = localhost' 'dns_name = localhost' tls_www_server \
    tls_www_client signing_key >$ca/peer.info
  {
    certtool --generate-privkey --key-type=ecdsa --outfile=$ca/ca-key.pem
    certtool --generate-self-signed --load-privkey=$ca/ca-key.pem \
      --template=$ca/ca.info --outfile=$ca/ca-cert.pem
    for peer in server client; do
      certtool --generate-privkey --key-type=ecdsa \
        --outfile=$ca/$peer-key.pem
      certtool --generate-certificate --load-privkey=$ca/$peer-key.pem \
        --load-ca-certificate=$ca/ca-cert.pem \
        --load-ca-privkey=$ca/ca-key.pem --template=$ca/peer.info \
        --outfile=$ca/$peer-cert.pem
    done
  } >out 2>&1 || fail "certtool: $(cat out)"
done

# A free port: the kernel's choice, given back just before it is used.
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nbdkit -f -i 127.0.0.1 -p "$port" --tls=require --tls-verify-peer \
  --tls-certificates="$tmp/good" -P "$tmp/u.pid" memory 16M 2>u.err &
child u $!
wait_for "the server" [ -s u.pid ]
attempt ()
{
  start_forwarder "$@"
  rc=0
  timeout 60 nbdinfo --size "$(uri)" >out 2>&1 || rc=$?
  [ $rc -ne 124 ] || fail "$*: it hangs"
  stop_server s
}
attempt hostname=localhost port="$port" tls=require tls-certificates="$tmp/good"
check "with certificates" "$rc $(cat out)" "0 16777216"
attempt "nbds://localhost:$port/" tls-certificates="$tmp/good"
check "by URI" "$rc $(cat out)" "0 16777216"
attempt hostname=localhost port="$port" tls=require tls-certificates="$tmp/bad"
[ $rc -ne 0 ] || fail "another authority: it was let in"
attempt hostname=127.0.0.1 port="$port" tls=require \
  tls-certificates="$tmp/good"
[ $rc -ne 0 ] || fail "another name: it was let in"
attempt hostname=127.0.0.1 port="$port" tls=require \
  tls-certificates="$tmp/good" tls-verify=false
check "another name, not verified" "$rc $(cat out)" "0 16777216"
attempt hostname=localhost port="$port"
[ $rc -ne 0 ] || fail "without TLS: it was let in"
