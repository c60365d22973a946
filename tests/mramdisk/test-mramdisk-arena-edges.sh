#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# arena=: recovery where something is at its limit: memory is full of clones,
# disks without a name are open, the file has several groups of chunks, and a
# file from which damaged disks were dropped grows again.

. "$(dirname "$0")/../functions.sh"

ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }
used () { ctl --json stats | python3 -c '
import json, sys
print(json.load(sys.stdin)["arena"]["used"])'; }

folder=$tmp
if [ -w /dev/shm ]; then
  folder=$(mktemp -d /dev/shm/mblock-test-XXXXXX)
  at_exit rm -rf "$folder"
fi

# start PARAMETER…: with what is in the file.
start () { rm -f c; serve arena="$folder/arena" control="$tmp/c" "$@"; }

step "memory that is full of clones"
start disk=golden,size=8M max-memory=16M
python <<'END'
connect("golden").pwrite(pattern(MiB), 0)
connect("golden").pwrite(pattern(MiB, 2), 4 * MiB)
END
for ((i = 0; i < 20; i++)); do ctl clone golden "c$i"; done
python <<'END'
import json
done = []
clone = [connect("c%d" % i) for i in range(20)]
try:
    for round in range(1000):
        for i in range(20):
            clone[i].pwrite(b"%08d" % (round * 20 + i + 3) * 512, round * 8192)
            done.append([i, round])
except nbd.Error as e:
    check("errno", e.errno, "ENOSPC")
json.dump(done, open("done", "w"))
END
before=$(used)
cat >look.py <<'END'
import json
done = json.load(open("done"))
if len(done) < 200:
    raise SystemExit("FAIL: only %d pages fitted" % len(done))
expected = [bytearray(pattern(MiB)) for i in range(20)]
for i, round in done:
    new = b"%08d" % (round * 20 + i + 3) * 512
    offset = round * 8192
    expected[i][offset:offset + 4096] = new
for i in range(20):
    h = connect("c%d" % i)
    check("c%d" % i, h.pread(MiB, 0) == expected[i][:MiB], True)
    check("c%d, shared" % i, h.pread(MiB, 4 * MiB), pattern(MiB, 2))
check("golden", connect("golden").pread(MiB, 0), pattern(MiB))
END
python <look.py
for how in kill stop; do
  "${how}_server" s
  start max-memory=16M
  python <look.py
  check "memory in use" "$(used)" "$before"
done
python <<'END'
refused("no memory", errno.ENOSPC, connect("golden").pwrite, b"x" * MiB, 6 * MiB)
for i in range(20):
    connect("c%d" % i).trim(8 * MiB, 0)
connect("golden").pwrite(b"x" * MiB, 6 * MiB)
END
stop_server s
rm "$folder/arena"

step "disks without a name, which clients have open"
start disk=a,size=8M disk=b,size=8M disk=c,size=8M
python <<'END'
connect("a").pwrite(pattern(MiB), 0)
connect("c").pwrite(pattern(MiB, 3), 0)
END
python <<'END' &
a, b = connect("a"), connect("b")
b.pwrite(pattern(MiB, 2), 0)
open("open", "w").close()
while not os.path.exists("gone"):
    time.sleep(0.01)
a.pwrite(pattern(2 * MiB, 4)[:MiB], MiB)        # they live on
b.pwrite(pattern(MiB, 5), 0)
check("a", a.pread(MiB, 0), pattern(MiB))
open("written", "w").close()
try:
    while True:
        a.pread(512, 0)
        time.sleep(0.01)
except nbd.Error:
    pass
END
client=$!
at_exit eval "kill -KILL $client 2>/dev/null || :"
wait_file () {
  local i
  for ((i = 0; i < 1200; i++)); do
    [ ! -e "$1" ] || return 0
    running $client || fail "the client has ended"
    pause 0.05
  done
  fail "no $1"
}
wait_file open
ctl destroy a --force
ctl clone c b --replace --force
touch gone
wait_file written
kill_server s
wait $client || fail "the client: status $?"
start auto-create=no
check "disks" "$(ctl list --null | tr '\0' ' ')" "b c "
python <<'END'
check("b", connect("b").pread(MiB, 0), pattern(MiB, 3))
check("the rest of b", connect("b").pread(MiB, MiB), bytes(MiB))
END
# What they had is not lost: only c's data and some nodes are in use.
[ "$(used)" -lt $((1200 * 1024)) ] || fail "$(used) bytes are in use"
stop_server s
rm "$folder/arena"

step "several groups of chunks, each of 128 MiB"
start disk=a,size=1G max-memory=512M
python <<'END'
h = connect("a")
for i in range(140):
    h.pwrite(pattern(MiB, i), i * MiB)
END
kill_server s
start max-memory=512M
ctl clone a b
python <<'END'
h = connect("a")
for i in range(140, 300):
    h.pwrite(pattern(MiB, i), i * MiB)
END
before=$(used)
kill_server s
start max-memory=512M
check "memory in use" "$(used)" "$before"
python <<'END'
h = connect("a")
for i in range(300):
    check("MiB %d" % i, h.pread(MiB, i * MiB) == pattern(MiB, i), True)
check("b", extents(connect("b"))[-1], (GiB - 140 * MiB, "hole"))
END
stop_server s
rm "$folder/arena"

step "growth after damaged disks were dropped"
start disk=a,size=64M disk=b,size=300M max-memory=512M
python <<'END'
connect("a").pwrite(pattern(MiB), 0)
connect("b").pwrite(pattern(MiB, 2), 0)
END
stop_server s
export folder
python3 <<'END'
import os, struct
path = os.environ["folder"] + "/arena"
f = bytearray(open(path, "rb").read())
for at in range(0, len(f), 256):        # a's record: its name is at 120
    root, size = struct.unpack_from("<QQ", f, at + 8)
    if f[at + 120:at + 256] == b"a" + bytes(135) and size == 64 << 20:
        break
else:
    raise SystemExit("there is no record")
struct.pack_into("<Q", f, at + 8, root | 0xffff00)
open(path, "r+b").write(f)
END
start arena-salvage=yes auto-create=no max-memory=512M
grep -q 'disk "a" is damaged and given up' s.log ||
  fail "nothing about a: $(cat s.log)"
python <<'END'
h = connect("b")
for i in range(1, 200):
    h.pwrite(pattern(MiB, i + 2), i * MiB)
END
ctl create a 1M
kill_server s
start auto-create=no max-memory=512M
python <<'END'
h = connect("b")
for i in range(200):
    check("MiB %d" % i, h.pread(MiB, i * MiB) == pattern(MiB, i + 2), True)
check("the new a", connect("a").pread(MiB, 0), bytes(MiB))
END
