#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A secondary that fails, hangs or dies in a flush, and one that fails single
# requests.

. "$(dirname "$0")/../mirror-functions.sh"

fault_server u --set size=4194304
start_mirror "$mramdisk" size=4M mnbd-request-timeout=4 mnbd-connect-timeout=4
mirror <<'END'
from mnbdtest import tell

synchronised()
h = connect()

def after(fault, fn, *args):
    """The client notices nothing, and soon all is well again."""
    h.pwrite(os.urandom(100000), 123456)
    synchronised()
    outages = status()["outages"]
    tell("fault " + fault)
    fn(*args)
    check("noticed: " + fault, status()["outages"] > outages, True)
    tell("clear")
    synchronised()
    same()

after("on=flush,do=error,errno=EIO,times=1", h.flush)
after("on=flush,do=close,times=1", h.flush)
after("on=flush,do=never,times=1", h.flush)
after("on=flush,do=garbage,times=1", h.flush)
after("on=write,do=error,errno=ENOSPC,times=1", h.pwrite, b"a" * 70000, 1)
after("on=write,do=close,times=1", h.pwrite, b"b" * 70000, 2)
after("on=write,do=ignore,times=1", h.pwrite, b"c" * 70000, 3)
after("on=zero,do=error,errno=EIO,times=1", h.zero, 300000, 4)
after("on=write,flag=fua,do=error,errno=EIO,times=1", h.pwrite, b"d" * 1000,
      5, nbd.CMD_FLAG_FUA)
# It is away, and the first attempts to come back fail.
tell("down")
h.pwrite(b"e" * 100, 3000000)
h.flush()
check("state", status()["state"], "degraded")
tell("fault on=greeting,do=close,times=2")
tell("up")
synchronised()
same()
# In the middle of a resync.
tell("down")
wait_state("degraded")
h.pwrite(os.urandom(4194304), 0)
tell("fault on=write,do=close,nth=5,times=1")
tell("up")
synchronised()
same()
# The status says what it sees.
check("error", status()["last_error"].startswith("the secondary is lost"),
      True)
END
