#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl mirror, for people and for programs, with a real mirror.

. "$(dirname "$0")/../mirror-functions.sh"

export MBLOCK_SOCKET=$tmp/control
ctl=$builddir/mblockctl

# ctl_is STATUS TEXT ARGUMENT…: it exits so, and prints that.
ctl_is ()
{
  local status=$1 text=$2 rc=0
  shift 2
  "$ctl" mirror "$@" >out 2>err </dev/null || rc=$?
  check "status of mirror $*: $(cat err)" $rc "$status"
  grep -qF -e "$text" out err ||
    fail "mirror $*: got '$(cat out err)', expected '$text'"
}

start_server u "$mramdisk" size=64M
start_server d "$mramdisk" size=64M
fill d a 24 0
start_mirror "$builddir/mnbd.so" socket="$tmp/d.sock" mnbd-rate=1M

step "while it copies"
ctl_is 0 'copying' status
grep -q 'rate .*of at most' out ||
  fail "no limit of the rate: $(cat out)"
grep -q 'done  *\[#*\.*\] ' out || fail "no bar: $(cat out)"
ctl_is 1 'expected synchronised, or force' stop
ctl_is 1 '(EBUSY)' switch
! grep -qe --force err || fail "switch takes no --force: $(cat err)"

step "wait for the end, with a progress bar on a terminal"
/usr/bin/python3 - "$ctl" <<'END'
import os, pty, subprocess, sys

out = b""
limited = True

def read(fd):
    global out, limited
    data = os.read(fd, 1024)
    out += data
    if limited and b"copying [#" in out:
        limited = False
        subprocess.run([sys.argv[1], "mirror", "rate", "none"],
                       stdout=subprocess.DEVNULL, check=True)
    return data

os.environ["TERM"] = "xterm"
status = pty.spawn([sys.argv[1], "mirror", "start", "--wait"], read)
if status != 0 or b"copying [#" not in out or b"synchronised" not in out:
    raise SystemExit("FAIL: status %d: %r" % (status, out))
END
ctl_is 0 'synchronised' status --wait
ctl_is 0 '"state": "synchronised"' status --json
ctl_is 0 'the mirror runs already' start
ctl_is 0 'synchronised' start --wait

step "compare"
ctl_is 0 'has the result' verify
wait_for "the end of the comparison" \
  sh -c "'$ctl' mirror status | grep -q 'compared  *64M of 64M$'"
nbdsh -u "$(uri '' u)" -c 'h.pwrite(b"b" * 512, 1 << 20)'
ctl_is 1 '512 bytes differ' verify --wait
check "offsets" "$(sed -n 2p out | xargs)" "1048576 512"
ctl_is 0 'failed' status
ctl_is 0 'synchronised' start --resume --wait
nbdsh -u "$(uri '' u)" -c 'h.pwrite(b"b" * 512, 1 << 20)'
ctl_is 1 '; they are copied again' verify --wait --repair
ctl_is 0 'synchronised' status --wait
ctl_is 0 'primary and secondary are identical' verify --wait

step "the rate, changed and watched"
ctl_is 0 'the mirror copies at most 1/s' rate 1
ctl_is 0 '"rate_limit": 1' status --json
ctl_is 0 'stopped at' stop
ctl_is 0 'started' start
"$ctl" mirror status --watch >watched 2>&1 &
watch=$!
wait_for "progress" grep -q '^""  copying  .* of 64M, .*%  .*/s of at most 1/s' \
  watched
ctl_is 0 'the mirror copies without limit' rate none
wait $watch || fail "watch: $(cat watched)"
tail -n 1 watched | grep -q '^""  synchronised  64M of 64M, 100%$' ||
  fail "the end of what was watched: $(cat watched)"
ctl_is 0 '"rate_limit": 16777216' rate 16M "" --json
ctl_is 0 '"state": "synchronised"' status --watch --json
ctl_is 2 'RATE 0: expected at least 1 byte per second, or none' rate 0
ctl_is 2 'RATE 1X: expected a size' rate 1X
ctl_is 2 'expected: mblockctl mirror rate RATE [EXPORT]' rate
ctl_is 1 'there is no mirror of export "x"' rate 1M x
ctl_is 2 'expected: mblockctl mirror' rate 1M a b
ctl_is 2 'expected only one of --wait and --watch' status --wait --watch
ctl_is 2 '--watch: start does not take it' start --watch

step "stop and start"
ctl_is 0 ': the secondary is consistent' stop
ctl_is 0 'stopped' status
ctl_is 1 'already stopped' stop
ctl_is 1 'the mirror is stopped' status --wait
ctl_is 1 'the mirror is stopped' status --watch
ctl_is 0 'started' start --resume
ctl_is 0 'synchronised' status --wait
ctl_is 0 '"consistent": true' stop --json
ctl_is 0 'synchronised' start --wait
crash_server u
wait_mirror degraded
ctl_is 0 'degraded' status
ctl_is 0 'the secondary is lost' status
ctl_is 0 ': the secondary is not consistent' stop --force

step "start says when the secondary is not there"
for how in "" --wait; do
  ctl_is 1 'the mirror keeps trying' start $how
  grep -q 'cannot connect to the secondary: ' err || fail "$(cat err)"
  ctl_is 0 ': the secondary is not consistent' stop --force
done
ctl_is 1 '"state": "degraded"' start --json
ctl_is 1 'the mirror keeps trying' start
ctl_is 0 'the mirror runs already' start --no-wait
ctl_is 0 ': the secondary is not consistent' stop --force
ctl_is 0 'started' start --no-wait
ctl_is 2 'expected only one of --wait and --no-wait' start --wait --no-wait

step "what makes no sense"
ctl_is 2 'expected status, start, stop, switch, rate or verify' pause
ctl_is 2 '--force: start does not take it' start --force
ctl_is 2 '--wait: stop does not take it' stop --wait
ctl_is 2 'status: expected at most one EXPORT' status a b
ctl_is 1 'there is no mirror of export "x"' stop x
[ "$(wc -l <err)" = 1 ] || fail "more than one line: $(cat err)"

# Before the primary's server, which would wait for it.
stop_server s
