#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl create --from: raw and qcow2 images and NBD URIs, with the real
# server.

. "$(dirname "$0")/../functions.sh"

requires qemu-img qemu-nbd nbdcopy mke2fs
ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control TMPDIR=$tmp XDG_RUNTIME_DIR=$tmp
serve size=1M control=control
truncate -s 32M image.raw
mke2fs -q -t ext4 -d "$testdir/mblockctl" image.raw >/dev/null
qemu-img convert -f raw -O qcow2 image.raw image.qcow2

# said EXPECTED COMMAND…: it is refused with this one line.
said ()
{
  local expected=$1
  shift
  refused "$@"
  check "$*" "$(cat refused)" "mblockctl: $expected"
}

for format in raw qcow2; do
  step "From $format"
  $ctl create "$format" --from image.$format --readonly --quiet
  nbdcopy "$(uri $format)" copy
  cmp copy image.raw
done
check "holes" "$($ctl list qcow2 --json | grep -c '"mapped": 33554432')" 0

step "From a URI, in place of another disk"
start_server u file file=image.raw
$ctl create raw --from "$(uri '' u)" --replace --quiet
nbdcopy "$(uri raw)" copy
cmp copy image.raw

step "From a URI, at once"
check "what it says" "$($ctl create lazy --from "$(uri '' u)" --lazy)" \
  "created lazy"
nbdcopy "$(uri lazy)" copy
cmp copy image.raw

step "A raw image that looks like qcow2"
printf 'QFI\xfb' | dd of=image.raw conv=notrunc status=none
refused $ctl create lie --from image.raw
$ctl create lie --from image.raw --format raw --quiet
nbdcopy "$(uri lie)" copy
cmp copy image.raw

step "What is refused"
mkfifo fifo
said "create: --from fifo: expected a file or a block device" \
  $ctl create n --from fifo
said "create: --from none.img: No such file or directory" $ctl create n --from none.img
said "create: --from: expected no SIZE: the disk gets the image's" \
  $ctl create n 1G --from image.raw
said "create: --rate: expected --from as well" $ctl create n --rate 1M
said "create: --lazy: expected --from as well" $ctl create n --lazy
said "create: --lazy: expected a URI as --from: the server of a file ends with \
this command" $ctl create n --from image.raw --lazy
said "create: --format: expected a file as --from, not a URI" \
  $ctl create n --from nbd://localhost --format raw
said "create: --format: expected a file as --from, not a URI" \
  $ctl create n --from nbd://localhost --lazy --format raw
said "create: --from: expected no SIZE: the disk gets the image's" \
  $ctl create n 1G --from nbd://localhost --lazy
said "create: --format: expected --from as well" $ctl create n --format raw
# qemu-nbd listens before it opens the image, and then ends.
refused $ctl create n --from image.raw --format nosuch
check "lines" "$(wc -l <refused)" 1
grep -q "Unknown driver 'nosuch'" refused || fail "$(cat refused)"
for option in --origin '--lazy --from'; do
  said "create: n: ${option%% *}: nbd+unix:///?socket=/no/socket: connect: No \
such file or directory (EIO)" $ctl create n $option 'nbd+unix:///?socket=/no/socket'
done
said "create: nbd://h/?a=b: expected no a= in the URI: only socket= is \
supported" \
  $ctl create n --from 'nbd://h/?a=b'
few="1k: expected an integer from 65536 to 9223372036854775807"
said "create: --prefetch-rate $few" \
  $ctl create n --origin nbd://localhost --prefetch-rate 1k
said "create: --rate $few" \
  $ctl create n --from nbd://localhost --lazy --rate 1k
said "create: --rate 0: expected an integer from 1 to 9223372036854775807" \
  $ctl create n --from nbd://localhost --rate 0
refused $ctl create raw --from image.raw --format raw
grep -q 'create: there is a disk "raw" already (EEXIST)' refused
: >empty
$ctl create empty --from empty --quiet
check "an empty image" "$($ctl info empty --json | grep -c '"size": 0')" 1

step "Interrupted: no disk is left"
$ctl create slow --from image.qcow2 --rate 1 2>slow.err &
slow=$!
for ((i = 0; i < 3000; i++)); do
  $ctl jobs --json | grep -q '"running"' && break
  pause 0.02
done
kill -INT $slow
refused wait $slow
check "what it says" "$(cat slow.err)" "mblockctl: create: the job was cancelled"
! $ctl list --names | grep -x slow || fail "there is a disk"
! ls -d mblockctl-* 2>/dev/null || fail "a folder is left"

step "With arena="
start_server a "$mramdisk" size=1M arena=arena control=arena-control
$ctl -s arena-control create n --origin "$(uri '' u)"
$ctl -s arena-control create m --lazy --from "$(uri '' u)"
kill_server a
rm -f arena-control
start_server a "$mramdisk" size=1M arena=arena control=arena-control
check "disks" "$($ctl -s arena-control list --names | tr '\n' ' ')" "m n "
