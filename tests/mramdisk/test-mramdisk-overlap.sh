#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Requests of one connection overlap under a filter that waits.

. "$(dirname "$0")/../functions.sh"

requires_filter log pause delay

# The filter log, on top, writes a line when a request arrives and one when it
# is answered.  most: the most that were inside at a time, by that log.
most ()
{
  awk '/ (Read|Write) id=/  { if (++n > most) most = n }
       / \.\.\.(Read|Write) id=/ { n-- }
       END { print most + 0 }' "$1"
}

step "four reads wait in a filter at the same time"
start_server s --filter=log --filter=pause "$mramdisk" size=1M \
  logfile="$tmp/requests" pause-control="$tmp/pause"
python <<'END'
import time

def control(command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["tmp"] + "/pause")
        s.sendall(command)
        check("answer of the filter", s.recv(1), command.upper())

def lines(what):
    with open(os.environ["tmp"] + "/requests") as f:
        return sum(what in line for line in f)

h = connect("d")
h.pwrite(pattern(4 * PAGE), 0)
control(b"p")
buf = [nbd.Buffer(PAGE) for i in range(4)]
cookie = [h.aio_pread(buf[i], i * PAGE) for i in range(4)]
for i in range(3000):
    h.poll(10)
    if lines(" Read id=") == 4:
        break
begun, ended = lines(" Read id="), lines("...Read id=")
control(b"r")
check("reads that have begun", begun, 4)
check("reads that have ended", ended, 0)
while h.aio_in_flight() > 0:
    h.poll(-1)
for c in cookie:
    h.aio_command_completed(c)
for i in range(4):
    check("page %d" % i, bytes(buf[i].to_bytearray()),
          pattern(4 * PAGE)[i * PAGE:(i + 1) * PAGE])
END
stop_server s

many='
h = connect("d")
buf = [nbd.Buffer.from_bytearray(bytearray(pattern(PAGE, i)))
       for i in range(8)]
for i in range(8):
    h.aio_pwrite(buf[i], i * PAGE)
while h.aio_in_flight() > 0:
    h.poll(-1)
for i in range(8):
    check("page %d" % i, h.pread(PAGE, i * PAGE), pattern(PAGE, i))
'
step "writes overlap in the filter delay"
rm requests
start_server s --filter=log --filter=delay "$mramdisk" size=1M \
  logfile="$tmp/requests" delay-write=200ms
python <<<"$many"
[ "$(most requests)" -ge 2 ] || fail "no writes overlapped: $(cat requests)"
stop_server s

step "parallel=no: one after the other, though a filter waits"
rm requests
start_server s --filter=log --filter=delay "$mramdisk" size=1M parallel=no \
  logfile="$tmp/requests" delay-write=50ms
python <<<"$many"
check "most requests at a time" "$(most requests)" 1
