#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks over an origin in arena=: what was fetched survives kill -9, and is not
# fetched again; the origin's server need not be there at a start.

. "$(dirname "$0")/../functions.sh"

requires_filter log
ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }
/usr/bin/python3 -c '
import random
r = random.Random(1)
with open("image", "wb") as f:
    for i in range(8):
        f.write(r.randbytes(1 << 20))'

# The log has a line for each read.
start_up () { start_server up --filter=log file image logfile="$tmp/reads"; }
reads () { grep -c ' Read id=' reads || :; }
origin=$(uri '' up)
start () {
  rm -f c
  serve "disk=golden,origin=$origin,readonly=yes" template=golden \
    auto-destroy=yes arena=arena control="$tmp/c"
}
info () { # DISK EXPRESSION
  ctl --json info "$1" | python3 -c '
import json, sys
d = json.load(sys.stdin)[0]
print(eval(sys.argv[1]))' "$2"
}

step "fetch a part, clone, write"
: >reads
start_up
start
ctl clone golden vm
python <<'END'
image = open("image", "rb").read()
check("read", connect("golden").pread(MiB, 0), image[:MiB])
h = connect("vm")
h.pwrite(b"w" * 5000, 3 * MiB + 100)
h.trim(64 * KiB, 5 * MiB)
check("read", h.pread(MiB, 2 * MiB), image[2 * MiB:3 * MiB])
END
known=$(info vm 'd["origin"]["known"]')
check "what is known" "$((known >= 2 << 20))" 1

look () {
  python <<'END'
image = bytearray(open("image", "rb").read())
for name in "golden", "vm":
    check("the first part of " + name, connect(name).pread(MiB, 0),
          bytes(image[:MiB]))
    check("the third part of " + name, connect(name).pread(MiB, 2 * MiB),
          bytes(image[2 * MiB:3 * MiB]))
h = connect("vm")
check("written", h.pread(5000, 3 * MiB + 100), b"w" * 5000)
check("beside it", h.pread(100, 3 * MiB), bytes(image[3 * MiB:3 * MiB + 100]))
check("trimmed", h.pread(64 * KiB, 5 * MiB), bytes(64 * KiB))
END
}

step "after kill -9, nothing is fetched twice"
before=$(reads)
check "reads were counted" "$((before > 0))" 1
kill_server s
start
look
check "requests to the origin" "$(reads)" "$before"
check "uri" "$(info vm 'd["origin"]["uri"]')" "$origin"
check "parent" "$(info vm 'd["parent"], d["parent_exists"]')" \
  "('golden', True)"
python <<'END'
image = open("image", "rb").read()
check("the rest", connect("golden").pread(MiB, 7 * MiB), image[7 * MiB:])
END
check "the rest is fetched" "$(($(reads) > before))" 1

step "the origin's server is away at the start"
kill_server s
kill_server up
start
look
python <<'END'
image = open("image", "rb").read()
check("what was fetched since", connect("golden").pread(MiB, 7 * MiB),
      image[7 * MiB:])
a = connect("from-template")
a.pwrite(b"a" * PAGE, 4 * MiB)
check("a clone of the template", a.pread(PAGE, 4 * MiB), b"a" * PAGE)
check("and what was fetched", a.pread(PAGE, 2 * MiB),
      image[2 * MiB:2 * MiB + PAGE])
END

step "a read that needs it waits, and it comes back"
cat >wait.py <<'END'
from nbdtest import *
image = open("image", "rb").read()
h = connect("vm")
buf = nbd.Buffer(MiB)
cookie = h.aio_pread(buf, 4 * MiB)
h.poll(0)
other = connect("vm")
other.trim(PAGE, 6 * MiB)
check("another connection does not wait", other.pread(PAGE, 6 * MiB),
      bytes(PAGE))
open("now", "w").close()
while not h.aio_command_completed(cookie):
    h.poll(-1)
check("what was waited for", bytes(buf.to_bytearray()),
      image[4 * MiB:5 * MiB])
END
nbdsh -c "exec(open('wait.py').read())" &
client=$!
for ((i = 0; i < 600; i++)); do
  [ -e now ] && break
  running "$client" || break
  sleep 0.1
done
start_up
wait "$client" || fail "see above"
grep -q "origin $origin: " s.log || fail "the log does not say that it was away"

step "it comes back with another size"
kill_server s
kill_server up
truncate -s 9M image
start_up
start
look
nbdsh -u "$(uri golden)" -c 'h.aio_pread(nbd.Buffer(512), 6 << 20)
import time
for i in range(600):
    h.poll(0)
    if "expected 8388608, the size that it had" in open("s.log").read():
        break
    time.sleep(0.1)
else:
    raise SystemExit("it was not refused")' || fail "$(cat s.log)"
truncate -s 8M image

step "a disk that was made by connecting waits for its client"
nbdsh -u "$(uri auto)" -c "h.pwrite(b'a', 0)
open('ready', 'w').close()
import time
while True:
    time.sleep(1)" 2>err &
client=$!
for ((i = 0; i < 600; i++)); do
  [ -e ready ] && break
  sleep 0.1
done
check "it is there" "$(info auto 'd["parent"]')" golden
kill_server s
kill "$client" 2>/dev/null || :
wait "$client" 2>/dev/null || :
start
check "its parent" "$(info auto 'd["parent"]')" golden
python <<'END'
h = connect("auto")
check("what was written", h.pread(1, 0), b"a")
h.shutdown()
become("auto is gone", lambda: "auto" in names(), False)
END

step "complete, and without its server"
kill_server up
start_up
ctl create whole --origin="$origin" --prefetch
for ((i = 0; i < 600; i++)); do
  [ "$(info whole 'd["origin"]["state"]')" = complete ] && break
  sleep 0.1
done
kill_server s
kill_server up
start
check "state" "$(info whole 'd["origin"]["state"]')" complete
python <<'END'
image = open("image", "rb").read()
h = connect("whole")
for i in range(8):
    check("whole at %d" % i, h.pread(MiB, i * MiB), image[i * MiB:(i + 1) * MiB])
END

step "the last disk takes the origin along"
ctl destroy whole golden vm --force
kill_server s
rm -f c
serve arena=arena control="$tmp/c"
check "disks" "$(ctl list -H)" ""
used=$(ctl --json stats | python3 -c '
import json, sys
print(json.load(sys.stdin)["arena"]["used"])')
check "memory used" "$((used <= 64 << 10))" 1
stop_server s

step "disk= with another origin than the disk has"
start_up
serve "disk=d,origin=$origin" arena=other
stop_server s
serve disk=d,origin=nbd://localhost:1 arena=other
grep -q "disk=d,origin=nbd://localhost:1: the disk in arena= has \
origin=$origin, and keeps it" s.log || fail "$(cat s.log)"
stop_server s
