#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The log has one line for the begin of each outage and one for its end, however
# short it was.  A server that dies repeatedly does not flood the log.  For a
# server that is refused, or refuses, a line says why.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

lines ()
{
  grep -c -- "$1" s.log || :
}

step "over at the first attempt; two writes are sent again, and a read"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=1
tell u fault on=read,do=close,nth=1
python <<'END'
h = connect()
h.pwrite(b"x" * 4096, 0)
h.pwrite(b"y" * 1024, 8192)
check("content", h.pread(4, 0), b"xxxx")
END
check "begins" "$(lines "upstream $tmp/u.sock: the connection was lost$")" 1
check "ends" "$(lines "upstream $tmp/u.sock: connected again after [0-9.]* \
seconds; sent again: requests: 1, unflushed writes: 2 of 5120 bytes$")" 1
stop_server s

step "one that is not over"
start_forwarder socket="$tmp/u.sock" reconnect=1
python <<'END'
from mnbdtest import *
h = connect()
h.pread(4, 0)
tell("down")
refused("a read", errno.ESHUTDOWN, h.pread, 4, 0)
END
check "begins" "$(lines ': the connection was lost$')" 1
check "attempts, which all end in the same way" \
  "$(lines "upstream $tmp/u.sock: connect: ")" 1
stop_server s
check "ends" "$(lines ': connected again')" 0
check "last words" "$(lines ': still not connected after')" 1
end_fault_server u

step "one that dies of the same request again and again"
fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=1 connections=1
tell u fault on=read,do=close
python <<'END'
from mnbdtest import *
h = connect()
refused("a read", errno.ESHUTDOWN, h.pread, 4, 0)
check("ends", open("s.log").read().count(": connected again"), 0)
tell("clear")
check("content", h.pread(4, 0), bytes(4))
END
check "begins" "$(lines ': the connection was lost$')" 1
check "ends" "$(lines ': connected again after')" 1
stop_server s

step "one that dies of every second request: the first ones, and how many"
start_forwarder socket="$tmp/u.sock" reconnect=60 connections=1
tell u fault on=read,do=close,every=2
python <<'END'
h = connect()
for i in range(60):
    check("content", h.pread(4, 0), bytes(4))
END
stop_server s
more=$(sed -n 's/.*lost and restored within a second, \([0-9]*\) more.*/\1/p' \
  s.log | awk '{ n += $1 } END { print n + 0 }')
begins=$(lines ': the connection was lost$')
ends=$(lines ': connected again after')
[ "$begins" -ge 20 ] && [ "$ends" -ge "$begins" ] ||
  fail "begins: $begins, ends: $ends"
check "all" "$((ends + more))" 59
end_fault_server u

step "a server that refuses the export"
fault_server u
for how in socket="$tmp/u.sock" \
           "nbd+unix:///?socket=$tmp/u.sock dynamic-export=true"; do
  tell u clear
  tell u fault on=option,opt=GO,do=error
  # shellcheck disable=SC2086
  try_forwarder $how retry=1
  [ "$rc" -ne 0 ] || fail "$how: it was let in"
  grep -Eq 'policy prevents|refused export "": Operation not' s.log ||
    fail "$how: $(cat s.log)"
  ! grep -q subprocess s.log || fail "$how: $(cat s.log)"
done
end_fault_server u

step "command="
start_forwarder command=nbdkit arg=-f arg=memory arg=1M
python <<'END'
import os
h = connect()
h.pread(4, 0)
def parent(process):
    try:
        with open("/proc/%s/stat" % process) as f:
            return f.read().rpartition(")")[2].split()[1]
    except OSError:             # it has ended meanwhile
        return None

pid = open("s.pid").read().strip()
server, = [p for p in os.listdir("/proc") if p.isdigit() and parent(p) == pid]
os.kill(int(server), 9)
check("content", h.pread(4, 0), bytes(4))
END
check "begins" "$(lines 'upstream nbdkit: the connection was lost$')" 1
check "ends" "$(lines 'upstream nbdkit: connected again after')" 1
stop_server s
