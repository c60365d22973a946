#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Bad parameters: exactly one line that says which, and nothing starts.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

# no WORD PARAMETERS…: the line has this word in it.
no ()
{
  local word=$1 rc=0
  shift
  timeout 60 nbdkit -U - "$plugin" "$@" --run 'echo it has started' \
    >out 2>&1 </dev/null || rc=$?
  [ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "$*: status $rc: $(cat out)"
  check "lines about $*" "$(wc -l <out)" 1
  grep -q "^nbdkit: error: .*$word" out || fail "$*: $(cat out)"
}
s=socket=/nonexistent

no uri
no socket port=1
no uri uri=nbd://localhost "$s"
no socket hostname=x "$s"
no vsock hostname=x vsock=1
no command command=x "$s"
no unknown "$s" nosuch=1
no nosuch "$s" nosuch=1
no 'retry' "$s" retry=x
no 'retry' "$s" retry=-1
no 'maybe' "$s" shared=maybe
no 'perhaps' "$s" dynamic-export=perhaps
no 'perhaps' "$s" tls=perhaps
no 'perhaps' "$s" tls-verify=perhaps
no 'socket-fd' socket-fd=-1
no 'socket-fd' socket-fd=x
no 'dynamic-export' "$s" export=a dynamic-export=true
no 'dynamic-export' "$s" shared=true dynamic-export=true
no 'dynamic-export' command=x dynamic-export=true
[ "$plugin" != nbd ] || exit 0
no 'request-timeout=1.x0a2: expected a time' "$s" request-timeout=$'1\n2'
no 'uri=nbd.x0a: expected the URI' uri=$'nbd\n'

for value in '' 0 -1 x 1.5 100000; do
  no "connections=$value: expected" "$s" connections=$value
done
for key in reconnect request-timeout connect-timeout; do
  for value in '' -1 x 1x 5h 1e400 nan; do
    no "$key=$value: expected" "$s" $key=$value
  done
done
no "connect-timeout=0: expected" "$s" connect-timeout=0
for value in '' -1 x 1Q 99999999999999999999 1e3; do
  no "replay-buffer=$value: expected" "$s" replay-buffer=$value
done
no "retry=x: expected" "$s" retry=x
no "tls=perhaps: expected" "$s" tls=perhaps
no "shared=maybe: expected" "$s" shared=maybe

for value in '' /x.sock host:10809 nbd:host http://host; do
  no "uri=$value: expected the URI of an NBD server" "uri=$value"
done
no "uri=x: expected the URI" uri=nbd://localhost uri=x
no "tls-certificates=/nonexistent: expected a folder" "$s" \
  tls-certificates=/nonexistent
no "tls-certificates=/dev/null: expected a folder" "$s" \
  tls-certificates=/dev/null
no "tls-psk=/nonexistent: expected a file" "$s" tls-psk=/nonexistent
no "tls-psk=/: expected a file" "$s" tls-psk=/
no "socket-fd=99: expected an open socket" socket-fd=99
no "socket-fd=0: expected an open socket" socket-fd=0

# As the nbd plugin, which these would not concern.
nbdkit -U - "$plugin" "$s" tls=off tls-psk=/nonexistent \
  tls-certificates=/nonexistent --run true || fail "TLS is off"
for value in nbd://host nbds://user@host:1/name 'nbd+unix:///a%20b?socket=/x' \
             'nbds+unix:///?socket=/x&x-tls=/x' nbd+vsock://1:2/ \
             'nbd://[::1]/?x-a=b'; do
  nbdkit -U - "$plugin" "uri=$value" --run true || fail "$value is refused"
done
