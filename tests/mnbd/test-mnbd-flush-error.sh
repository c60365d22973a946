#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A flush that the server refuses may have lost what it was to save, so that is
# sent again before the next; and the writes of a client that has left are never
# sent over newer ones.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set size=64M
start_forwarder socket="$tmp/u.sock" replay-buffer=64K

step "what a failed flush may have dropped is sent again before the next one"
tell u fault on=flush,do=error,times=1
python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
b.pwrite(pattern(4096, 2), 4096)
log()


def flushes(h):
    try:
        h.flush()
    except nbd.Error as e:
        return e.errno
    return "ok"


check("the flush that failed", flushes(a), "EIO")
log()
check("the next one", flushes(b), "ok")
check("what the server got", log(),
      [("write", 0, 4096), ("write", 4096, 4096), ("flush", 0, 0)])
check("and then", flushes(a), "ok")
END

step "a write with FUA that fails may have been such a flush, too"
tell u clear
python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
tell("fault on=write,do=error,flag=fua,times=1")
refused("with FUA", errno.EIO, b.pwrite, pattern(4096, 2), 8192,
        nbd.CMD_FLAG_FUA)
log()
a.flush()
check("what the server got", log(), [("write", 0, 4096), ("flush", 0, 0)])
END

step "unless the server refuses it without FUA, too: nobody else hears of that"
for errno in EIO ENOSPC; do
  tell u clear
  errno=$errno python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
tell("fault on=write,do=error,errno=" + os.environ["errno"])
for i in range(3):
    refused("with FUA", getattr(errno, os.environ["errno"]), b.pwrite,
            pattern(4096, 2), 8192, nbd.CMD_FLAG_FUA)
tell("clear")
log()
a.flush()
check("what the server got", log(), [("flush", 0, 0)])
END
done

step "a flush does not count until writes with FUA have ended"
tell u clear
python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
tell("fault on=write,do=error,ms=1500,flag=fua,times=1")
writer = under_way(log, ("write", 8192, 4096), refused, "with FUA", errno.EIO,
                   b.pwrite, pattern(4096, 2), 8192, nbd.CMD_FLAG_FUA)
a.flush()
writer.join()
check("what the server got", log(),
      [("flush", 0, 0), ("write", 8192, 4096), ("write", 0, 4096),
       ("flush", 0, 0)])
END

# fua_after_flush WHAT THE SERVER GETS: a flush fails while a write with FUA is
# under way, which succeeds.
fua_after_flush ()
{
  tell u clear
  gets=$1 python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
tell("fault on=write,do=slow,ms=1500,flag=fua,times=1")
tell("fault on=flush,do=error,times=1")
writer = under_way(log, ("write", 8192, 4096), b.pwrite, pattern(4096, 2),
                   8192, nbd.CMD_FLAG_FUA)
refused("the flush", errno.EIO, a.flush)
writer.join()
check("what the server got", log(), eval(os.environ["gets"]))
END
}

step "a write with FUA that a failed flush may have dropped is sent again"
fua_after_flush '[("flush", 0, 0), ("write", 0, 4096), ("write", 8192, 4096)]'

step "and it may have dropped a write that was not answered yet"
tell u clear
python <<'END'
log = Log().new
a, b = connect(), connect()
tell("fault on=write,do=slow,ms=1500,times=1")
tell("fault on=flush,do=error,times=1")
writer = under_way(log, ("write", 4096, 4096), a.pwrite, pattern(4096, 3),
                   4096)
refused("the flush", errno.EIO, b.flush)
writer.join()
log()
b.flush()
check("what the server got", log()[-2:], [("write", 4096, 4096),
                                          ("flush", 0, 0)])
END

step "flushes wait for each other, and share the next"
tell u clear
python <<'END'
import threading
log = Log().new
h = [connect() for i in range(5)]
for i in range(5):
    h[i].pwrite(pattern(4096, i), i * 4096)
log()
tell("fault on=flush,do=slow,ms=1000")
flushers = [threading.Thread(target=x.flush) for x in h]
for t in flushers:
    t.start()
for t in flushers:
    t.join()
check("flushes", len(log("flush")) <= 3, True)
END

step "a flush that is not answered may have failed, too"
stop_server s
start_forwarder socket="$tmp/u.sock" request-timeout=3
tell u clear
python <<'END'
log = Log().new
a, b = connect(), connect()
a.pwrite(pattern(4096, 1), 0)
tell("fault on=write,do=slow,ms=500,flag=fua,times=1")
tell("fault on=flush,do=never,times=1")
writer = under_way(log, ("write", 8192, 4096), b.pwrite, pattern(4096, 2),
                   8192, nbd.CMD_FLAG_FUA)
a.flush()
writer.join()
check("what the server got", log(),
      [("flush", 0, 0), ("write", 0, 4096), ("write", 8192, 4096),
       ("flush", 0, 0)])
END
stop_server s
start_forwarder socket="$tmp/u.sock" replay-buffer=64K

step "a flush that mnbd sends to make room fails"
tell u clear
tell u fault on=flush,do=error,times=1
python <<'END'
h = connect()
errors = 0
for i in range(5):
    try:
        h.pwrite(pattern(16384, i), i * 16384)
    except nbd.Error as e:
        check("error", e.errno, "EIO")
        errors += 1
check("writes that heard of it", errors, 1)
h.flush()
END
stop_server s

step "so is a write with FUA if there is no log"
start_forwarder socket="$tmp/u.sock" replay-buffer=0
fua_after_flush '[("flush", 0, 0), ("write", 8192, 4096)]'
stop_server s
end_fault_server u

step "a client leaves in an outage, another comes"
truncate -s 1M disk
start_server f file "$tmp/disk"
start_forwarder socket="$tmp/f.sock"
python <<'END'
import os
import signal
import time
h = connect()
h.pwrite(b"1" * 4096, 0)
with open(os.environ["tmp"] + "/f.pid") as f:
    os.kill(int(f.read()), signal.SIGKILL)
h.shutdown()
END
crash_server f
sleep 1.5
start_server f file "$tmp/disk"
python <<'END'
import time
h = connect()
check("what the first one wrote", h.pread(4096, 0), b"1" * 4096)
h.pwrite(b"2" * 4096, 0)
h.flush()
time.sleep(2)
check("what the second one wrote", h.pread(4096, 0), b"2" * 4096)
END
