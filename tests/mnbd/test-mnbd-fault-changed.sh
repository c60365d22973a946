#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that returns as a different one is refused: requests fail, and
# nothing is written to it.  When the original returns, work continues.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# try WHAT CHANGE RESTORE: each is a command for the fault server.
try ()
{
  step "$1"
  tell u clear
  writes=$(requests u write zero trim | wc -l)
  cat >script <<END
def writes():
    n = 0
    for line in open("u.jsonl"):
        n += any('"cmd": "%s"' % c in line for c in ("write", "zero", "trim"))
    return n

h = connect()
h.pwrite(b"before", 0)
tell("$2")
before = writes()
tell("drop")
refused("a write", errno.ESHUTDOWN, h.pwrite, b"during", 0)
refused("a read", errno.ESHUTDOWN, h.pread, 6, 0)
refused("a zero", errno.ESHUTDOWN, h.zero, 4096, 4096)
check("writes that reached it", writes() - before, 0)
tell("$3")
until_back(lambda: h.pwrite(b"after!", 0))
check("content", h.pread(6, 0), b"after!")
h.flush()
END
  python <script
}

fault_server u --export "" --export other
start_forwarder socket="$tmp/u.sock" reconnect=1
try "smaller" "set size=8M" "set size=16M"
try "larger" "set size=32M" "set size=16M"
try "read-only" "set readonly=yes" "set readonly=no"
try "without flush" "set flush=no" "set flush=yes"
try "without FUA" "set fua=no" "set fua=yes"
try "without trim" "set trim=no" "set trim=yes"
try "without zero" "set zero=no" "set zero=yes"
try "without fast zero" "set fast_zero=no" "set fast_zero=yes"
try "with a larger minimum block" "set min=4096" "set min=1"
try "without the export" "exports other" "exports ,other"
