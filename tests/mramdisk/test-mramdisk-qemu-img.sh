#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# qemu-img converts into a disk and out of it, compares and maps.

. "$(dirname "$0")/../functions.sh"

requires qemu-img
url="nbd+unix:///d?socket=$sock"
dd if=/dev/urandom of=raw bs=64k count=40 2>err
truncate -s 32M raw
qemu-img convert -f raw -O qcow2 raw image.qcow2
serve size=32M

step "convert into the disk"
qemu-img convert -n -f qcow2 -O raw image.qcow2 "$url"
qemu-img compare -f qcow2 -F raw image.qcow2 "$url" >out ||
  fail "the disk differs from the image: $(cat out)"
python <<'END'
check("extents", extents(connect("d")),
      [(40 * 64 * KiB, "data"), (32 * MiB - 40 * 64 * KiB, "hole")])
END

step "convert out of it"
qemu-img convert -f raw -O qcow2 "$url" back.qcow2
qemu-img compare -f raw -F qcow2 raw back.qcow2 >out ||
  fail "the image differs from what was stored: $(cat out)"

step "map"
qemu-img map -f raw --output=json "$url" >out
check "data in the map" "$(grep -c '"data": true' out)" 1
check "holes in the map" "$(grep -c '"data": false' out)" 1

step "compare sees one byte"
python <<'END'
connect("d").pwrite(b"x", 31 * MiB)
END
refused qemu-img compare -f qcow2 -F raw image.qcow2 "$url"
