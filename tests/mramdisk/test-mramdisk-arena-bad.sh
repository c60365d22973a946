#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# arena=: a file that cannot be used is refused with one line, and stays
# unchanged.

. "$(dirname "$0")/../functions.sh"

# An arena with a disk, of which each case has a copy.
start_server m "$mramdisk" arena=good disk=a,size=8M max-memory=16M
python <<'END'
connect("a", server="m").pwrite(b"a" * MiB, 0)
END
stop_server m

# bad LINE PARAMETER…: the start is refused, and the file f is what it was.
bad ()
{
  local sum line=$1
  shift
  sum=$(sha256sum <f)
  refused_start "arena=$tmp/f: $line" "$mramdisk" arena=f "$@"
  check "the file" "$(sha256sum <f)" "$sum"
}

# patch OFFSET BYTES: in a copy of the good one.
patch ()
{
  cp good f
  printf "$2" | dd of=f bs=1 seek="$1" conv=notrunc status=none
}

step "no arena"
truncate -s 3M f
bad 'is not an arena, expected one, or no file'
echo hello >f
bad 'is not an arena, expected one, or no file'
printf 'mblock RAM disks' >f
bad 'is not an arena, expected one, or no file'
patch 0 M
bad 'is not an arena, expected one, or no file'

step "another layout"
patch 20 '\2'
bad 'has layout version 2, expected 3'
patch 20 '\4'
bad 'has layout version 4, expected 3'
patch 16 '\1\2\3\4'
if [ "$(dd if=good bs=1 skip=16 count=1 status=none | od -An -tu1)" -eq 4 ]
then bad 'was made by a machine of another byte order'; fi
patch 24 '\1'
bad 'its header is damaged'
patch 33 '\x55\xaa'
bad 'its header is damaged'

step "truncated"
size=$(stat -c %s good)
for n in 4096 8192 $((size / 2)) $((size - 4096)) $((size - 1)); do
  head -c "$n" good >f
  bad "is truncated: has $n bytes, expected at least $size; \
arena-salvage=yes keeps the disks that are still whole"
done
# It does not start empty in place of what was there.
for n in 4096 $(((2 << 20) - 1)); do
  head -c "$n" good >f
  bad "is truncated, and nothing can be salvaged: has $n bytes, expected at \
least 2097152, or no file" arena-salvage=yes
done

step "damaged"
page=$(python3 - <<'END'
import struct
f = bytearray(open("good", "rb").read())
# The record: its name stands after 120 bytes.
for at in range(0, len(f), 256):
    root, size = struct.unpack_from("<QQ", f, at + 8)
    if f[at + 120:at + 256] == b"a" + bytes(135) and size == 8 << 20:
        break
else:
    raise SystemExit("there is no record")
struct.pack_into("<Q", f, at + 8, root | 0xffff00)
open("f", "wb").write(f)
print((root | 0xffff00) & 0xffffffff)
END
)
bad "disk \"a\" is damaged: its tree leads to page $page, which has no space; \
arena-salvage=yes gives it up and keeps the others"

step "in use"
cp good f
start_server m "$mramdisk" arena=f
refused_start "arena=$tmp/f: another process has it, expected one that is not \
in use, or arena-wait= to wait for it" "$mramdisk" arena=f
refused_start "arena=$tmp/f: another process still had it after arena-wait=1 \
seconds" "$mramdisk" arena=f arena-wait=1
# One that waits for it goes on when the first has ended.  It waits when it
# opens the file once more.
/usr/bin/python3 - 2>watch.err <<'END' &
import ctypes, os
OPEN, CLOSE = 0x20, 0x18        # IN_OPEN, IN_CLOSE; <sys/inotify.h>
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init()
if fd == -1 or libc.inotify_add_watch(fd, b"f", OPEN | CLOSE) == -1:
    raise SystemExit(os.strerror(ctypes.get_errno()))
open("watching", "w").close()
events = 0
while events < 3:               # of 16 bytes: open, close, open
    events += len(os.read(fd, 4096)) // 16
END
watcher=$!
at_exit eval "! running $watcher || kill $watcher"
for ((i = 0; i < 1200; i++)); do
  [ -e watching ] && break
  pause 0.05
done
[ -e watching ] || fail "cannot watch the file: $(cat watch.err)"
nbdkit -f -U "$tmp/w.sock" -P "$tmp/w.pid" "$mramdisk" arena=f \
  arena-wait=600 >w.log 2>&1 &
pid=$!
at_exit eval "! running $pid || kill -KILL $pid"
for ((i = 0; i < 1200; i++)); do
  running $watcher && running $pid || break
  pause 0.05
done
running $pid || fail "it does not wait: $(cat w.log)"
! running $watcher || fail "it does not try again: $(cat w.log)"
wait $watcher || fail "watching the file: $(cat watch.err)"
[ ! -s w.pid ] || fail "it has not waited: $(cat w.log)"
kill_server m
servers+=(w)
for ((i = 0; i < 1200; i++)); do [ -s w.pid ] && break; pause 0.05; done
[ -s w.pid ] || fail "it waits on: $(cat w.log)"
check "who waited" "$(nbdinfo --size "$(uri a w)")" $((8 << 20))
stop_server w

step "a file whose creator was killed before it had a chunk"
start_server m "$mramdisk" arena=young
stop_server m
truncate -s 2M young
# header.chunks and header.tables
head -c 8 /dev/zero | dd of=young bs=1 seek=52 conv=notrunc status=none
start_server m "$mramdisk" arena=young disk=b,size=3M
check "size" "$(nbdinfo --size "$(uri b m)")" $((3 << 20))
stop_server m
start_server m "$mramdisk" arena=young auto-create=no
check "size" "$(nbdinfo --size "$(uri b m)")" $((3 << 20))
stop_server m
# But not if there is a table.
head -c 4 /dev/zero | dd of=young bs=1 seek=52 conv=notrunc status=none
refused nbdkit -U - "$mramdisk" arena=young --run true
grep -q 'its header is damaged: 0 chunks' refused || fail "$(cat refused)"

step "an earlier boot"
cp good f
start_server m "$mramdisk" arena=f
check "size" "$(nbdinfo --size "$(uri a m)")" $((8 << 20))      # it serves
kill_server m
boot=$(cat /proc/sys/kernel/random/boot_id)
LC_ALL=C sed -i "0,/$boot/s//00000000-0000-0000-0000-000000000000/" f
bad 'was in use when the machine went down, so what is in it cannot be trusted; expected a clean stop, or arena-discard=yes to start empty'
bad 'was in use when the machine went down, so what is in it cannot be trusted; expected a clean stop, or arena-discard=yes to start empty' arena-salvage=yes
start_server m "$mramdisk" arena=f arena-discard=yes auto-create=no
check "exports" "$(nbdinfo --list --json "$(uri '' m)" | grep -c '"export-name"')" 0
kill_server m
# After a clean stop the boot does not matter, nor does arena-discard=.
cp good f
LC_ALL=C sed -i "0,/$boot/s//00000000-0000-0000-0000-000000000000/" f
start_server m "$mramdisk" arena=f arena-discard=yes auto-create=no
check "size" "$(nbdinfo --size "$(uri a m)")" $((8 << 20))
stop_server m

step "parameters that contradict it"
cp good f
refused_start "disk=a,sector-size=512: expected no sector-size=, or 1, which \
the disk of that name in arena= has" "$mramdisk" arena=f disk=a,sector-size=512

step "what may have been changed since the disk was created stays"
start_server m "$mramdisk" arena=f disk=a,size=9M,readonly=yes
check "size" "$(nbdinfo --size "$(uri a m)")" $((8 << 20))
check "read-only" "$(nbdinfo --is read-only "$(uri a m)" && echo yes)" ""
stop_server m
grep -q "disk=a,size=9M: the disk in arena= has size=8M, and keeps it" m.log ||
  fail "nothing about the size: $(cat m.log)"
grep -q "disk=a,readonly=yes: the disk in arena= has readonly=no, and keeps it" \
  m.log || fail "nothing about readonly: $(cat m.log)"

step "a file that holds more than max-memory"
start_server m "$mramdisk" arena=f
python <<'END'
connect("a", server="m").pwrite(b"a" * MiB, MiB)
END
stop_server m
bad 'holds ~2.0M, more than max-memory= allows; expected a larger one' \
  max-memory=1M
start_server m "$mramdisk" arena=f disk=a,size=8M,readonly=no disk=b
stop_server m

step "no file for it"
refused_start "arena=$tmp/.: is a directory, expected a regular file" \
  "$mramdisk" arena=.
refused_start "arena=$tmp/no/f: cannot open: No such file or directory" \
  "$mramdisk" arena=no/f
refused_start "arena=/dev/null: is no regular file, expected one" \
  "$mramdisk" arena=/dev/null
mkfifo fifo
refused_start "arena=$tmp/fifo: is no regular file, expected one" \
  "$mramdisk" arena=fifo
if [ "$(id -u)" != 0 ]; then
  touch closed
  chmod 0 closed
  refused_start "arena=$tmp/closed: cannot open: Permission denied" \
    "$mramdisk" arena=closed
fi

step "a file that others could change"
cp good f
chmod 666 f
refused_start "arena=$tmp/f: can be written by every user, expected mode 600" \
  "$mramdisk" arena=f
chmod 600 f
if [ "$(id -u)" = 0 ]; then
  chown 65534 f
  refused_start "arena=$tmp/f: belongs to user 65534, expected 0 or root" \
    "$mramdisk" arena=f
fi
rm f

step "salvage"
head -c $((size - 4096)) good >f
start_server m "$mramdisk" arena=f arena-salvage=yes
stop_server m
cp good f
start_server m "$mramdisk" arena=f arena-salvage=yes auto-create=no
check "size" "$(nbdinfo --size "$(uri a m)")" $((8 << 20))

step "renamed while it is in use"
mv f g
python <<'END'
connect("a", server="m").pwrite(b"c" * MiB, 0)
END
stop_server m
grep -q "arena=$tmp/f: the file was renamed while it was in use" m.log ||
  fail "no word of it: $(cat m.log)"
mv g f
start_server m "$mramdisk" arena=f auto-create=no
python <<'END'
h = connect("a", server="m")
check("a", h.pread(MiB, 0), b"c" * MiB)
h.pwrite(b"a" * MiB, 0)
END

step "removed while it is in use"
rm f
python <<'END'
h = connect("a", server="m")
h.pwrite(b"b" * MiB, MiB)
check("a", h.pread(2 * MiB, 0), b"a" * MiB + b"b" * MiB)
END
stop_server m
grep -q "arena=$tmp/f: the file was removed or replaced" m.log ||
  fail "no word of it: $(cat m.log)"
[ ! -e f ] || fail "the file is there again"
