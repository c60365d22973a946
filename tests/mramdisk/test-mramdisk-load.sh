#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# load= creates saved disks at the start, also beside arena=; what cannot be
# loaded is one line.  mblockctl save and load.

. "$(dirname "$0")/../functions.sh"

ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control
serve size=4M control=control
python <<'END'
from nbdtest import *
connect("a").pwrite(b"a" * 8192, 100)
connect("b").pwrite(b"b" * 8192, 200)
END
check "save" "$($ctl save saved)" "saved in saved: 24K of new data"
check "save" "$($ctl save saved)" "saved in saved: 0 of new data"
refused $ctl load saved
check "load" "$(cat refused)" \
  'mblockctl: load: there is a disk "a" already'
$ctl destroy a --quiet
check "load" "$($ctl load saved a)" "loaded from saved: 12K of data"
stop_server s

step "At the start; another save then writes only what has changed"
serve size=4M load=saved control=control
python <<'END'
from nbdtest import *
check("a", bytes(connect("a").pread(8192, 100)), b"a" * 8192)
check("b", bytes(connect("b").pread(8192, 200)), b"b" * 8192)
END
check "save" "$($ctl save saved)" "saved in saved: 0 of new data"
check "load" "$($ctl load saved --replace --quiet && $ctl save saved)" \
  "saved in saved: 0 of new data"
nbdsh -u "$(uri b)" -c 'h.pwrite(b"b" * 8192, 200)' \
  -c 'h.pwrite(b"c", 1 << 20)'
check "save" "$($ctl save saved)" "saved in saved: 4K of new data"
stop_server s

step "Beside an arena: what is there stays"
for i in 1 2; do
  serve size=4M load=saved arena=arena
  python <<'END'
from nbdtest import *
a = connect("a")
check("a", bytes(a.pread(8192, 100)) in (b"a" * 8192, b"A" * 8192), True)
a.pwrite(b"A" * 8192, 100)
check("b", bytes(connect("b").pread(8192, 200)), b"b" * 8192)
END
  stop_server s
done
serve size=4M load=saved arena=arena
check "a" "$(nbdsh -u "$(uri a)" -c 'print(h.pread(1, 100).decode())')" A
stop_server s

step "What cannot be loaded"
refused_start "load=$tmp/none: No such file or directory" "$mramdisk" 4M \
  load=none
mkdir empty
refused_start "load=$tmp/empty: there is no manifest.json: expected a folder \
that \"mblockctl save\" has written" "$mramdisk" 4M load=empty
refused_start "load=$tmp/saved: disk \"a\" has 4194304 bytes: expected at most \
max-size=1048576" "$mramdisk" 1M max-size=1M load=saved
refused_start "load=$tmp/saved: no room for the disk \"b\": more than \
max-disks=1 disks: expected a higher max-disks=" "$mramdisk" 4M max-disks=1 \
  load=saved
printf x | dd of=saved/mblock-data-1 bs=1 seek=5000 conv=notrunc status=none
refused_start "load=$tmp/saved: mblock-data-1: page 1 is damaged" "$mramdisk" \
  4M load=saved

step "Killed while it saves: the folder has this save or the one before"
for ((round = 1; round <= 8; round++)); do
  if [ $round = 1 ]; then
    serve size=16M control=control
    first=0
  else
    serve size=16M control=control load=killed
  fi
  export first round
  python <<'END'
from nbdtest import *
first, n = int(os.environ["first"]), int(os.environ["round"])
h = connect("a")
if n > 1:
    was = {h.pread(1, i * 65536)[0] for i in range(256)}
    check("one generation", len(was), 1)
    check("a complete one", first <= min(was) < n, True)
h.set_strict_mode(0)
for i in range(256):
    h.pwrite(bytes([n]) * 65536, i * 65536)
END
  if [ $round = 1 ]; then
    $ctl save killed --quiet
    first=1
  else
    $ctl save killed --quiet 2>/dev/null &
    saver=$!
    sleep "0.0$((RANDOM % 10))"
    kill_server s
    wait $saver || :
    continue
  fi
  stop_server s
done

step "Killed while it loads into an arena: the next start loads all"
serve size=64M control=control
python <<'END'
from nbdtest import *
h = connect("large")
for i in range(64):
    h.pwrite(pattern(MiB, i), i * MiB)
END
$ctl clone large clone --quiet
$ctl save large --quiet
stop_server s
for ((round = 1; round <= 6; round++)); do
  rm -f arena
  nbdkit -f -U killed.sock "$mramdisk" arena=arena load=large >killed.log 2>&1 &
  pid=$!
  sleep "0.0$((RANDOM % 10))"
  kill -KILL "$pid" 2>/dev/null || :
  wait "$pid" 2>/dev/null || :
  rm -f killed.sock
  serve arena=arena load=large control=control
  python <<'END'
from nbdtest import *
for name in "clone", "large":
    h = connect(name)
    for i in range(64):
        check(name, h.pread(MiB, i * MiB) == pattern(MiB, i), True)
END
  used=$($ctl stats --json | /usr/bin/python3 -c 'import json, sys
print(json.load(sys.stdin)["arena"]["used"] >> 20)')
  [ "$used" -lt 200 ] || fail "$used MiB are in use"
  stop_server s
done

step "No room: one line, and the folder has what it had"
mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1M none full 2>mount.err; then
  at_exit umount "$tmp/full"
  serve size=16M control=control
  python <<'END'
from nbdtest import *
connect("a").pwrite(b"a" * 8192, 0)
END
  $ctl save full/d --quiet
  ls full/d >before
  python <<'END'
from nbdtest import *
import random
h = connect("a")
for i in range(4):
    h.pwrite(random.Random(i).randbytes(MiB), i * MiB)
END
  refused $ctl save full/d
  check "what it says" "$(cat refused)" \
    "mblockctl: save: $tmp/full/d: cannot write: No space left on device"
  ls full/d | cmp - before
  $ctl load full/d --replace --quiet
  check "content" "$(nbdsh -u "$(uri a)" -c 'print(h.pread(3, 0).decode())')" \
    aaa
  stop_server s
else
  echo "it cannot mount: this step is left out"
fi
