#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# command= and arg= run the server, which ends with nbdkit.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins
requires qemu-nbd qemu-img

qemu-img create -q -f qcow2 disk.qcow2 16M
start_forwarder command=qemu-nbd arg=-f arg=qcow2 arg="$tmp/disk.qcow2"
python <<'END'
h = connect()
check("size", h.get_size(), 16 * MiB)
h.pwrite(pattern(100000), 12345)
h.flush()
# Several clients share the one connection.
check("content", connect().pread(100000, 12345), pattern(100000))
END
# child_of PID NAME: print the process that PID has started.
child_of ()
{
  local status
  for status in /proc/[0-9]*/status; do
    if grep -qsx "PPid:[[:space:]]*$1" "$status" &&
        grep -qsx "Name:[[:space:]]*$2" "$status"; then
      basename "${status%/status}"
      return
    fi
  done
  fail "no $2 runs"
}
server=$(child_of "$(cat s.pid)" qemu-nbd)
stop_server s
gone ()
{
  ! [ -e "/proc/$server" ] || grep -q '^State:.Z' "/proc/$server/status"
}
wait_for "the end of qemu-nbd" gone
qemu-img check -q disk.qcow2

step "a command that is not there"
rc=0
forwarder command=/nonexistent/server
timeout 60 nbdkit -f -U "$tmp/x.sock" "${forwarder[@]}" >out 2>&1 || rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "status $rc: $(cat out)"
grep -q 'nbdkit: error: ' out || fail "no reason: $(cat out)"
