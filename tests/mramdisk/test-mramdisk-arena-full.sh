#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# arena= on a file system that is small, full or read-only: requests get ENOSPC,
# or the start fails with one line.  Nothing dies from a signal, and nothing is
# lost.

. "$(dirname "$0")/../functions.sh"

requires_root
mkdir m
mount -t tmpfs -o size=16M mblock-test m 2>refused || skip "$(cat refused)"
at_exit umount -l m

step "the default of max-memory"
start_server s "$mramdisk" 64M arena=m/a control="$tmp/c" -v
grep -q "max-memory=16777216" s.log || fail "another default: $(cat s.log)"

step "full by what is written"
python <<'END'
h = connect("a")
done = 0
try:
    while True:
        h.pwrite(pattern(64 * KiB, done), done)
        done += 64 * KiB
except nbd.Error as e:
    check("errno", e.errno, "ENOSPC")
if not 8 * MiB < done < 16 * MiB:
    raise SystemExit("FAIL: %d bytes fitted" % done)
for i in range(0, done, 64 * KiB):
    check("at %d" % i, h.pread(64 * KiB, i), pattern(64 * KiB, i))
h.pwrite(b"over", 0)            # what is there can be changed
h.trim(2 * MiB, MiB)            # and given back
h.pwrite(b"x" * MiB, MiB)
h.pwrite(pattern(4, 0), 0)
END

step "full by another file"
/usr/bin/python3 -c 'import random
open("image", "wb").write(random.Random(5).randbytes(2 << 20))'
start_server up file image
"$builddir/mblockctl" -q -s c create over --origin "$(uri '' up)"
python <<'END'
connect("a").trim(64 * MiB, 0)
END
for ((i = 0; i < 200; i++)); do
  [ "$(df --output=avail -k m | tail -1)" -lt 9000 ] || break
  pause 0.05
done
cat /dev/zero >m/other 2>/dev/null || :
python <<'END'
h = connect("a")
done = 0
try:
    while done < 32 * MiB:
        h.pwrite(pattern(4 * KiB, done), done)
        done += 4 * KiB
    raise SystemExit("FAIL: it has room")
except nbd.Error as e:
    check("errno", e.errno, "ENOSPC")
for i in range(0, done, 4 * KiB):
    check("at %d" % i, h.pread(4 * KiB, i), pattern(4 * KiB, i))
h.trim(4 * KiB, 0)
# What is fetched cannot be kept, but whoever reads it gets it.
h = connect("over")
for i in range(2):
    check("over an origin", h.pread(2 * MiB, 0), open("image", "rb").read())
END
grep -q "no space for arena=: No space left on device" s.log ||
  fail "no word of it: $(tail -n 3 s.log)"

step "recovered while it is full"
kill_server s
rm -f c
cat /dev/zero >>m/other 2>/dev/null || :
start_server s "$mramdisk" 64M arena=m/a control="$tmp/c"
python <<'END'
h = connect("a")
check("trimmed", h.pread(4 * KiB, 0), bytes(4 * KiB))
check("kept", h.pread(4 * KiB, 4 * KiB), pattern(4 * KiB, 4 * KiB))
h.trim(4 * KiB, 4 * KiB)
END
"$builddir/mblockctl" -q -s c clone a b
python <<'END'
connect("b").trim(MiB, 0)       # a node must be copied for it
END

step "room again"
rm m/other
python <<'END'
h = connect("b")
h.pwrite(b"x" * MiB, 0)
check("b", h.pread(MiB, 0), b"x" * MiB)
END

step "a file system in use cannot become read-only"
if mount -o remount,ro m 2>/dev/null; then fail "it has become read-only"; fi
python <<'END'
connect("b").pwrite(b"y", 0)
END
stop_server s
mount -o remount,ro m
rm -f c
refused_start "arena=$tmp/m/a: cannot open: Read-only file system" \
  "$mramdisk" arena=m/a
refused_start "arena=$tmp/m/new: cannot open: Read-only file system" \
  "$mramdisk" arena=m/new
mount -o remount,rw m

step "full at the start"
mkdir n
mount -t tmpfs -o size=64k mblock-test n
at_exit umount -l n
cat /dev/zero >n/other 2>/dev/null || :
refused_start "arena=$tmp/n/a: cannot write to it: No space left on device" \
  "$mramdisk" arena=n/a
[ ! -e n/a ] || fail "the file was left"

# 64 chunks of 2 MiB and what describes them: no room is left for the page that
# would describe the next ones.
step "full where the arena's file would be extended"
mkdir o
mount -t tmpfs -o size=128M mblock-test o
at_exit umount -l o
start_server g "$mramdisk" 1G arena=o/a max-memory=1G control="$tmp/g" -v
python <<'END'
h = connect(server="g")
try:
    for i in range(1024):
        h.pwrite(pattern(MiB, i), i * MiB)
    raise SystemExit("FAIL: it has room")
except nbd.Error as e:
    check("errno", e.errno, "ENOSPC")
check("it is nearly full", i > 110, True)
h.shutdown()
END
grep -q 'no space for arena=: No space left on device' g.log ||
  fail "the log does not say why: $(cat g.log)"
! grep -q 'max-memory=1G is reached' g.log ||
  fail "max-memory is not reached: $(cat g.log)"
stop_server g
