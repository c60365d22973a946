#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The socket: its mode, another server on it, and its removal at the end.

. "$(dirname "$0")/../functions.sh"

step "mode 0600, whatever the umask; control-mode= changes it"
(umask 000; serve size=1M control=control; trap - EXIT
 check mode "$(stat -c %a control)" 600; stop_server s)
serve size=1M control=control control-mode=660
check mode "$(stat -c %a control)" 660

step "a live server on it: refused in one line, and left alone"
refused_start "control=$tmp/control: a server is listening on it: expected \
a stale socket, or a path that does not exist"   "$mramdisk" size=1M control=control
echo 'print(__import__("controltest").Control().call("version"))' | python   >/dev/null || fail "the live server was disturbed"

step "unlinked at exit"
stop_server s
[ ! -e control ] || fail "the socket was left behind"

step "control-group= gives it to a group, which may connect"
group=$(id -G | tr ' ' '\n' | tail -n 1)
[ "$(id -u)" != 0 ] || group=54321
(serve size=1M control=grouped control-group="$group"; trap - EXIT
 check "mode and group" "$(stat -c %a:%g grouped)" "660:$group"; stop_server s)

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
refused_start "control=$tmp/control: it exists and is not a socket: \
expected a socket, or a path that does not exist" "$mramdisk" size=1M control=control
check "the file" "$(cat control)" precious
rm control

step "a relative path works when nbdkit goes to the background"
nbdkit -U "$tmp/s.sock" -P "$tmp/bg.pid" "$mramdisk" size=1M control=control
for ((i = 0; i < 600; i++)); do [ -s bg.pid ] && break; pause 0.05; done
end_background () { kill "$(cat "$tmp/bg.pid")" 2>/dev/null || :; }
at_exit end_background
echo 'print(__import__("controltest").Control().call("version"))' | python   >/dev/null
kill "$(cat bg.pid)"
for ((i = 0; i < 600; i++)); do [ -e control ] || break; pause 0.05; done
[ ! -e control ] || fail "the background server left the socket behind"

step "a folder that all share: what others lock there does not matter"
check "left beside it" "$(ls -A | grep control || :)" ""
rm -f s.sock                    # nbdkit leaves it
mkdir -m 1777 shared
# As another user, who may make files in the folder, if we can become one.
other=()
if [ "$(id -u)" = 0 ] && type -P setpriv >/dev/null; then
  other=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chmod 755 .
fi
"${other[@]}" bash -c 'umask 0
  exec 8<shared 9>shared/.control.lock
  flock -x 8 && flock -x 9 && echo locked >shared/.told && exec sleep 600' &
locker=$!
end_locker () { kill $locker 2>/dev/null || :; }
at_exit end_locker
for ((i = 0; i < 600; i++)); do [ -e shared/.told ] && break; pause 0.05; done
[ -e shared/.told ] || fail "the folder was not locked"
for i in fresh stale; do
  serve size=1M control="$tmp/shared/control"
  python >/dev/null <<'END'
from controltest import *
print(Control("shared/control").call("version"))
END
  if [ $i = fresh ]; then
    kill -KILL $pid
    wait $pid || :
    servers=()
    rm -f s.pid s.sock
    [ -S shared/control ] || fail "there is no stale socket to test with"
  else
    stop_server s
  fi
done
[ ! -e shared/control ] || fail "the socket was left behind"
