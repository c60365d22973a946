#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An origin whose server goes away: requests that do not need it go on, others
# wait, and it must return with its size.

. "$(dirname "$0")/../functions.sh"

requires_filter log delay
truncate -s 8M image
printf 'content' | dd of=image bs=1M seek=6 conv=notrunc 2>/dev/null
start_server up file image
serve "disk=d,origin=$(uri '' up)" control=ctl
cat >ask.py <<'END'
import json, socket
from nbdtest import *
def state():
    s = socket.socket(socket.AF_UNIX)
    s.connect("ctl")
    s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "disk_info", '
              b'"params": {"name": "d"}}\n')
    return json.loads(s.makefile().readline())["result"]["origin"]["state"]
END
PYTHONPATH=$tmp:$PYTHONPATH
export PYTHONPATH

step "it goes away, and comes back"
python <<'END'
check("the first part", connect("d").pread(PAGE, 0), bytes(PAGE))
END
kill_server up
nbdsh -c 'from ask import *' -c '
h = connect("d")
buf = nbd.Buffer(7)
cookie = h.aio_pread(buf, 6 * MiB)      # this one waits
h.poll(0)
for i in range(50):                     # these do not, in one connection
    h.pwrite(b"w" * PAGE, 4 * MiB + i * PAGE)
    check("a read", h.pread(PAGE, 4 * MiB + i * PAGE), b"w" * PAGE)
h.trim(PAGE, 3 * MiB)
check("trimmed", h.pread(PAGE, 3 * MiB), bytes(PAGE))
become("away", state, "away")
check("it still waits", h.aio_command_completed(cookie), False)
open("now", "w").close()
while not h.aio_command_completed(cookie):
    h.poll(-1)
check("what was waited for", bytes(buf.to_bytearray()), b"content")
become("there again", state, "lazy")' &
client=$!
for ((i = 0; i < 600; i++)); do
  [ -e now ] && break
  running "$client" || break
  sleep 0.1
done
start_server up file image
wait "$client" || fail "see above"

step "it goes away while a request is under way"
kill_server up
start_server up --filter=log --filter=delay file image logfile=up.requests \
  rdelay=600
printf 'more' | dd of=image bs=1M seek=5 conv=notrunc 2>/dev/null
nbdsh -c 'from ask import *' -c '
h = connect("d")
buf = nbd.Buffer(4)
cookie = h.aio_pread(buf, 5 * MiB)
while not h.aio_command_completed(cookie):
    h.poll(-1)
check("what was asked for", bytes(buf.to_bytearray()), b"more")' &
client=$!
for ((i = 0; i < 1200; i++)); do
  ! grep -q ' Read ' up.requests 2>/dev/null || break
  running "$client" || break
  pause 0.05
done
grep -q ' Read ' up.requests || fail "no request came"
kill_server up
start_server up file image
wait "$client" || fail "see above"

step "it returns with another size"
kill_server up
truncate -s 9M image
start_server up file image
nbdsh -c 'from ask import *' -c '
h = connect("d")
check("what is there", h.pread(7, 6 * MiB), b"content")
buf = nbd.Buffer(7)
cookie = h.aio_pread(buf, 7 * MiB)
h.poll(0)
become("refused", lambda: "size" in open("s.log").read(), True)' || fail "see above"
stop_server s
