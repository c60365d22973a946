#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The filter's control socket: its methods, its mode, and its removal with the
# server; also beside the plugin's own.

. "$(dirname "$0")/../filter-functions.sh"

start_server u "$mramdisk" size=8M
start_server s --filter="$filter" "$mramdisk" size=1M \
  control="$tmp/plugin.ctl" mnbd-socket="$tmp/u.sock" mnbd-mode=forward \
  mnbd-control=control
check "mode" "$(stat -c %a control)" 600
export version
version=$("$builddir/mblockctl" --version | sed -n '1s/.* //p')
python <<'END'
from controltest import *

c = Control()
check("version", c.call("version"),
      {"name": "mnbd", "version": os.environ["version"], "protocol": 1,
       "mode": "forward"})
methods = [m["name"] for m in c.call("help")["methods"]]
check("the first", methods[:2], ["version", "help"])
check("no method of the plugin's", "disk_list" in methods, False)
END
MBLOCK_SOCKET=$tmp/plugin.ctl "$builddir/mblockctl" list >out

step "the wrong kind of socket"
# wrong STATUS EXPECTED SOCKET COMMAND…: mblockctl says so, in one line.
wrong ()
{
  local status=$1 expected=$2 rc=0
  shift 2
  timeout 60 "$builddir/mblockctl" -s "$@" >out 2>err </dev/null || rc=$?
  check "status of $*: $(cat err)" $rc "$status"
  grep -qF -e "$expected" err || fail "$*: got '$(cat err)'"
  check "lines about $*" "$(wc -l <err)" 1
}
for command in list 'info a' 'create a 1M' 'destroy a' 'clone a b' stats \
               'top --once' watch; do
  # shellcheck disable=SC2086
  wrong 1 'this server has no disks: expected the socket of mramdisk' \
    "$tmp/control" $command
done
for command in 'mirror status' 'mirror stop' 'cache status'; do
  # shellcheck disable=SC2086
  wrong 1 'this server has no mirrors or caches: expected the socket of' \
    "$tmp/plugin.ctl" $command
done
wrong 1 'there is no method "nosuch"' "$tmp/control" call nosuch
for command in list 'mirror status' 'cache status' metrics 'wait-ready -t 5'
do
  # shellcheck disable=SC2086
  wrong 3 'this is a socket for NBD clients: expected the server' \
    "$sock" $command
done
stop_server s
[ ! -e control ] || fail "the socket is still there"

start_server s --filter="$filter" "$mramdisk" size=1M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control="$tmp/control" \
  mnbd-control-mode=660
check "mode" "$(stat -c %a control)" 660

step "mnbd-control-group= gives it to a group, which may connect"
group=$(id -G | tr ' ' '\n' | tail -n 1)
[ "$(id -u)" != 0 ] || group=54321
for given in "" 640; do
  start_server g --filter="$filter" "$mramdisk" size=1M \
    mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control=grouped \
    mnbd-control-group="$group" ${given:+mnbd-control-mode=$given}
  check "mode and group" "$(stat -c %a:%g grouped)" "${given:-660}:$group"
  stop_server g
done

step "the socket of a server that lives is not taken away from it"
filter_refused "mnbd-control=$tmp/control: " "$mramdisk" \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control="$tmp/control"
