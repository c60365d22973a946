#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# systemd accepts the units and finds little that they could still give up, and
# mramdisk@.service's command keeps its disks when systemd's socket outlives it.

. "$(dirname "$0")/../functions.sh"

units=packaging/systemd
source=$testdir/../$units
for u in mramdisk@.service mnbd@.service; do
  [ -e "$builddir/$units/$u" ] ||
    skip "configure was told to make no systemd units"
done
requires systemd-analyze python3
systemd-analyze security --help 2>&1 | grep -q -e --offline ||
  skip "systemd-analyze is older than version 250"

# The name of each command must exist for "verify".
mkdir units
cp "$source"/*.socket "$source"/*.mount "$builddir/$units"/*.service units
sed -i "s|[^ ]*/nbdkit-\(.*\)-plugin.so|$builddir/\1.so|" units/*.service

step "systemd accepts them"
for u in mramdisk@ mnbd@; do
  cp "units/$u.service" "units/${u}test.service"
  cp "units/$u.socket" "units/${u}test.socket"
  SYSTEMD_UNIT_PATH=$tmp/units: systemd-analyze verify --man=no \
    "$tmp/units/${u}test.service" "$tmp/units/${u}test.socket" >said 2>&1 ||
    fail "$u: $(cat said)"
  # It warns of what it does not know, and succeeds.
  ! grep -F "$tmp/units" said || fail "$u: $(cat said)"
done

step "the exposure is at most 1.9 of 10"
for u in mramdisk@test mnbd@test; do
  systemd-analyze security --no-pager --offline=true --threshold=19 \
    "$tmp/units/$u.service" >said 2>&1 ||
    fail "$u: $(grep -v '^✓' said)"
done

step "a server that is replaced behind its socket keeps its disks"
# The command line of the unit, with a folder of the test.
command=$(sed -n '/^ExecStart=/,/[^\\]$/p' units/mramdisk@.service |
          tr -d '\\\n' | sed "s|^ExecStart=||; s|/run/mblock/mramdisk/%i|$tmp|g")
command=${command//\$NBDKIT_OPTIONS/}
command=${command//\$PARAMETERS/64M}
case $command in
  "nbdkit --foreground "*arena="$tmp"/arena*control="$tmp"/control.sock*) ;;
  *) fail "the command is $command" ;;
esac
cat >replace.py <<'END'
# A socket that outlives its servers, as systemd's does.
import os, signal, socket, subprocess, sys, nbd

tmp, command = sys.argv[1], sys.argv[2].split()
path = tmp + "/nbd.sock"
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(64)


def start():
    def child():
        os.dup2(s.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = "1"
    return subprocess.Popen(command, close_fds=False, preexec_fn=child)


def disk():
    h = nbd.NBD()
    h.connect_uri("nbd+unix:///a?socket=" + path)
    return h


server = start()
try:
    h = disk()
    h.pwrite(b"kept", 4096)
    for how, status in (signal.SIGTERM, 0), (signal.SIGKILL, -9):
        h.shutdown()
        server.send_signal(how)
        assert server.wait(60) == status, server.returncode
        server = start()
        h = disk()              # waits in the socket's queue
        assert h.pread(4, 4096) == b"kept", how
    h.shutdown()
finally:
    server.kill()
    server.wait()
END
python3 replace.py "$tmp" "$command" || fail "see above"
