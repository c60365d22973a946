#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The socket: its mode, who else is on it, and that it goes at the end.

. "$(dirname "$0")/functions.sh"

step "mode 0600, whatever the umask; control-mode= changes it"
(umask 000; serve size=1M control=control; trap - EXIT
 check mode "$(stat -c %a control)" 600; stop_server s)
serve size=1M control=control control-mode=660
check mode "$(stat -c %a control)" 660

step "a live server on it: refused in one line, and left alone"
refused_start "control=$tmp/control: a server is live on it already: expected \
a socket that nobody listens on, or nothing there"   "$mramdisk" size=1M control=control
echo 'print(__import__("controltest").Control().call("version"))' | python   >/dev/null || fail "the live server was disturbed"

step "unlinked at exit"
stop_server s
[ ! -e control ] || fail "the socket was left behind"

step "a stale one is replaced"
serve size=1M control=control
kill -KILL $pid
wait $pid || :
servers=()
rm -f s.pid s.sock
[ -S control ] || fail "there is no stale socket to test with"
serve size=1M control=control
echo 'print(__import__("controltest").Control().call("version"))' | python   >/dev/null
stop_server s

step "what is no socket is refused, and stays"
echo precious >control
refused_start "control=$tmp/control: there is something that is not a socket: \
expected a socket or nothing there" "$mramdisk" size=1M control=control
check "the file" "$(cat control)" precious
rm control

step "a relative path works when nbdkit goes to the background"
nbdkit -U "$tmp/s.sock" -P "$tmp/bg.pid" "$mramdisk" size=1M control=control
for ((i = 0; i < 600; i++)); do [ -s bg.pid ] && break; sleep 0.05; done
end_background () { kill "$(cat "$tmp/bg.pid")" 2>/dev/null || :; }
at_exit end_background
echo 'print(__import__("controltest").Control().call("version"))' | python   >/dev/null
kill "$(cat bg.pid)"
for ((i = 0; i < 600; i++)); do [ -e control ] || break; sleep 0.05; done
[ ! -e control ] || fail "the background server left the socket behind"
