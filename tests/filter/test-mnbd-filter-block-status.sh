#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Block status in finer units than the minimum block size, of the plugin or of
# the upstream: each side gets only requests for whole blocks of its own,
# clients are told whole blocks of theirs, and no data is taken for zeros.

. "$(dirname "$0")/../mirror-functions.sh"

nbdkit sh --dump-plugin >/dev/null 2>&1 || skip "nbdkit has no sh plugin"

# A plugin with blocks of $block that tells what is where by 512 bytes, and
# refuses what is no whole blocks.
cat >fine <<'PLUGIN'
#!/usr/bin/env bash
whole ()
{
  (( $1 % block == 0 && $2 % block == 0 )) && return
  echo "EINVAL $1 bytes at $2 are no whole blocks" >&2
  echo "$1 bytes at $2" >>"$image.misaligned"
  exit 1
}
case $1 in
  thread_model) echo parallel;;
  open) ;;
  get_size) stat -c %s "$image";;
  block_size) echo "$block $block 1M";;
  can_write|can_flush|can_extents|can_multi_conn) ;;
  can_zero) echo emulate;;
  pread) whole "$3" "$4"
    dd if="$image" bs=64k iflag=skip_bytes,count_bytes,fullblock \
      skip="$4" count="$3" status=none;;
  pwrite) whole "$3" "$4"
    dd of="$image" bs=64k oflag=seek_bytes iflag=fullblock seek="$4" \
      conv=notrunc status=none;;
  flush) ;;
  extents) whole "$3" "$4"
    exec /usr/bin/python3 -c 'import sys
data = open(sys.argv[1], "rb").read()
for at in range(int(sys.argv[2]), len(data), 512):
    piece = data[at:at + 512]
    print(at, len(piece), "" if piece.strip(b"\0") else "hole,zero")
' "$image" "$4";;
  *) exit 2;;
esac
PLUGIN
chmod +x fine

# A disk with data of 512 bytes here and there, and whole blocks of zeros.
/usr/bin/python3 - <<'END'
import os
size = 512 * 1024
data = bytearray(size)
for at in 0, 4096, 70 * 1024, 130 * 1024 + 512, 200 * 1024, size - 512:
    data[at:at + 512] = os.urandom(512)
open("disk", "wb").write(data)
END

# aligned ID BLOCK: all that the fault server was asked for is whole blocks.
aligned ()
{
  requests "$1" >asked
  awk -v block="$2" '$3 > 0 && ($2 % block || $3 % block) { print; bad = 1 }
    END { exit bad }' asked >odd || fail "$1 was asked for $(head -1 odd)"
}

# none_misaligned: nor is any request of the plugin wrong.
none_misaligned ()
{
  ! [ -e image.misaligned ] ||
    fail "the plugin was asked for $(head -1 image.misaligned)"
}

# whole_blocks BLOCK: what a client of s is told.
whole_blocks ()
{
  client_block=$1 python <<'END'
h = connect()
block, size = int(os.environ["client_block"]), h.get_size()
data = open("disk", "rb").read()
at = zeros = 0
while at < size:
    for length, state in extents_once(h, size - at, at):
        check("whole blocks at %d" % at, length % block, 0)
        if state != "data":
            check("zeros at %d" % at, data[at:at + length].strip(b"\0"), b"")
            zeros += length
        at += length
check("some zeros are told", zeros > 0, True)
END
}

export image=$tmp/image block
for block in 4096 65536; do
  step "the primary of a mirror, with blocks of $block"
  cp disk image
  start_server u "$mramdisk" size=512K
  start_mirror sh "$tmp/fine"
  synchronised_and_same
  whole_blocks $block
  none_misaligned
  stop_server s
  stop_server u
done

step "its secondary"
start_server p "$mramdisk" size=512K
nbdcopy disk "$(uri "" p)"
fault_server u --set size=524288,min=65536,preferred=65536,max=1048576
tell u set 'extents=[[512,0],[131072,3],[4096,0],[524288,3]]'
start_mirror "$builddir/mnbd.so" socket="$tmp/p.sock"
mirror <<'END'
synchronised()
same()
connect().pwrite(b"x" * 100, 100000)
synchronised()
check("compared", verify()["bytes_differing"], 0)
control.call("mirror_stop")
connect().pwrite(b"y" * 100, 200000)
control.call("mirror_start", resume=True)
synchronised()
same()
END
aligned u 65536
stop_server s
end_fault_server u
stop_server p

block=65536
for cache in writethrough writeback; do
  step "the plugin beneath a cache: $cache"
  rm -f image
  truncate -s 512K image
  start_server u "$mramdisk" size=512K
  start_server s --filter="$filter" sh "$tmp/fine" mnbd-mode=cache \
    mnbd-socket="$tmp/u.sock" mnbd-cache=$cache
  python <<'END'
h = connect()
data = open("disk", "rb").read()
for at in range(0, len(data), 4096):
    if data[at:at + 4096].strip(b"\0"):
        h.pwrite(data[at:at + 4096], at)
# Before anything is flushed.
at = 0
for length, state in extents_once(h, len(data)):
    check("zeros at %d" % at,
          state == "data" or not data[at:at + length].strip(b"\0"), True)
    at += length
check("what was written", h.pread(len(data), 0), data)
h.flush()
END
  nbdcopy "$(uri "" u)" copy
  cmp disk copy || fail "the origin has something else"
  whole_blocks 1
  none_misaligned
  stop_server s
  stop_server u
done

step "the origin of a cache, with larger blocks than the plugin"
fault_server u --set size=524288,min=65536,preferred=65536,max=1048576
nbdcopy disk "$(uri "" u)"
tell u set 'extents=[[512,0],[65024,3],[4096,0],[131072,3],[512,0]]'
start_server s --filter="$filter" "$mramdisk" size=512K mnbd-mode=cache \
  mnbd-socket="$tmp/u.sock" mnbd-cache=writeback
python <<'END'
h = connect()
# A dirty block, of which the plugin knows that the rest is zeros.
h.pwrite(b"x" * 4096 + bytes(60 * KiB), 64 * KiB)
for at in range(0, 512 * KiB, 64 * KiB):
    for length, state in extents_once(h, 64 * KiB, at):
        check("whole blocks", length % (64 * KiB), 0)
check("not zeros", extents_once(h, 64 * KiB, 64 * KiB)[0][1], "data")
h.flush()
END
aligned u 65536
stop_server s

step "an upstream that is forwarded"
start_server s --filter="$filter" "$mramdisk" size=1M mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock"
python <<'END'
h = connect()
for length, state in extents_once(h, 512 * KiB):
    check("whole blocks", length % (64 * KiB), 0)
END
aligned u 65536
stop_server s
end_fault_server u

step "a plugin's export that the mode does not concern"
cp disk image
start_server u "$mramdisk" size=512K
start_server s --filter="$filter" sh "$tmp/fine" mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock" mnbd-exports=other
whole_blocks 65536
none_misaligned
stop_server s
stop_server u

step "more than 4 GiB in one answer"
start_server u "$mramdisk" size=64G sector-size=4096
start_server s --filter="$filter" "$mramdisk" size=64G sector-size=4096 \
  mnbd-socket="$tmp/u.sock" mnbd-mode=mirror mnbd-start=false
python <<'END'
h = connect()
size = h.get_size()
at = answers = 0
while at < size:
    for length, state in extents_once(h, min(size - at, 4 * GiB - 4096), at):
        check("whole blocks", length % 4096, 0)
        check("state", state, "hole")
        at += length
    answers += 1
check("few answers", answers < 40, True)
END
