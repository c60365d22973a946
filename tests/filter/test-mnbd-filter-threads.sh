#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each thread that mramdisk and the filter make has a name that says what it is,
# and blocks all signals; programs that they start have none blocked.

. "$(dirname "$0")/../mirror-functions.sh"

[ -r /proc/self/status ] || skip "there is no /proc"
requires qemu-nbd

step "no thread is made past the function that blocks the signals"
check "callers of pthread_create" "$(cd "$testdir/.." &&
  grep -rl 'pthread_create (' lib plugins filters --include='*.c')" \
  lib/base/thread.c

# threads ID: check that all threads of a server that has no clients, but
# nbdkit's own, are ours and block all signals that can be blocked.
threads ()
{
  python <<END
import os, time

# SIGKILL and SIGSTOP cannot be blocked; the C library keeps 32 and 33.
NEVER = sum(1 << n - 1 for n in (9, 19, 32, 33))
pid = open("$tmp/$1.pid").read().strip()

def threads():
    """The number, name and blocked signals of each."""
    found = []
    for task in os.listdir("/proc/%s/task" % pid):
        try:
            fields = dict(line.split(":\t", 1) for line in
                          open("/proc/%s/task/%s/status" % (pid, task)))
        except (FileNotFoundError, ProcessLookupError):
            continue            # it has ended
        found.append((task, fields["Name"].strip(),
                      int(fields["SigBlk"], 16)))
    return found

# A thread that has just begun has its maker's name for a moment.
for i in range(1500):
    all = threads()
    if not [t for t in all if t[0] != pid and not t[1].startswith("mblock-")]:
        break
    time.sleep(0.02)
for task, name, blocked in all:
    if task == pid:
        check("SIGTERM is blocked in nbdkit's own thread",
              blocked >> 14 & 1, 0)
        continue
    check("the name of thread %s (%s)" % (task, name),
          name.startswith("mblock-"), True)
    check("signals that %s does not block" % name,
          "%016x" % (~(blocked | NEVER) & (1 << 64) - 1), "%016x" % 0)
END
}

# has ID NAME: has the server a thread of that name now?
has ()
{
  cat /proc/"$(cat "$1.pid")"/task/*/comm 2>/dev/null | grep -qx "$2"
}

# expect_thread ID NAME: wait for it, and check all that there are.
expect_thread ()
{
  wait_for "a thread $2 of server $1" has "$1" "$2"
  threads "$1"
}

call ()
{
  "$builddir/mblockctl" -s "$tmp/control" call "$@"
}

step "mramdisk"
serve size=1M control=control
expect_thread s mblock-control
expect_thread s mblock-reclaim
stop_server s

step "a mirror that copies, compares, and has a stop in flight"
volatile_server u --size=268435456 --multi-conn
start_server s --filter="$filter" "$mramdisk" size=256M control=control.p \
  mnbd-mode=mirror mnbd-socket="$tmp/u.sock" mnbd-control=control mnbd-rate=4M \
  mnbd-start=false
python <<'END'
h = connect()
for i in range(4):              # a thread takes 64 MiB at a time
    h.pwrite(b"x" * (4 * MiB), i * 64 * MiB)
h.shutdown()
END
expect_thread s mblock-mirror
call mirror_start >/dev/null
expect_thread s mblock-copy
wait_mirror synchronised
call mirror_verify >/dev/null
expect_thread s mblock-verify
freeze "$volatile_pid"
call mirror_stop '{"force": true}' >stopped 2>&1 &
child stop $!
expect_thread s mblock-method
kill "$(cat s.pid)"
wait_for "a thread mblock-watch" has s mblock-watch
threads s
kill -CONT "$volatile_pid"
stop_server s
kill_child u

step "a cache that reads ahead"
rm u.img
volatile_server u --size=67108864 --multi-conn
start_server s --filter="$filter" "$mramdisk" size=64M \
  mnbd-mode=cache mnbd-socket="$tmp/u.sock" mnbd-control=control
python <<'END'
h = connect()
for at in range(0, 8 * MiB, 65536):
    h.pread(65536, at)
h.shutdown()
END
expect_thread s mblock-cache
stop_server s
kill_child u

step "a server that a thread of ours starts again can be ended with a signal"
truncate -s 1M disk
start_server s --filter="$filter" "$mramdisk" size=1M mnbd-mode=mirror \
  mnbd-command=qemu-nbd mnbd-arg=-f mnbd-arg=raw mnbd-arg="$tmp/disk" \
  mnbd-control=control
wait_mirror synchronised
child_of_nbdkit ()
{
  cat /proc/"$(cat s.pid)"/task/*/children 2>/dev/null | tr -d '\n '
}
first=$(child_of_nbdkit)
kill -KILL "$first"
another ()
{
  local pid
  pid=$(child_of_nbdkit)
  [ -n "$pid" ] && [ "$pid" != "$first" ] &&
    [ "$(cat /proc/"$pid"/comm)" = qemu-nbd ]
}
wait_for "another qemu-nbd" another
blocked=$(sed -n 's/^SigBlk:\t//p' /proc/"$(child_of_nbdkit)"/status)
[ $((0x$blocked & 1 << 14)) -eq 0 ] || fail "SIGTERM is blocked in it"
stop_server s
