#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# qemu-io writes patterns, zeroes, discards and reads them back.

. "$(dirname "$0")/../functions.sh"

requires qemu-io
serve size=16M
url="nbd+unix:///d?socket=$sock"
qemu-io -f raw \
  -c 'write -P 0xaa 4095 8194' \
  -c 'write -P 0xbb -f 1M 1M' \
  -c 'read -P 0 0 4095' \
  -c 'read -P 0xaa 4095 8194' \
  -c 'read -P 0xbb 1M 1M' \
  -c 'write -z -u 1M 64k' \
  -c 'write -z 1088k 64k' \
  -c 'discard 1152k 64k' \
  -c 'read -P 0 1M 192k' \
  -c 'read -P 0xbb 1216k 832k' \
  -c 'aio_write -P 0xcc 3M 256k' \
  -c 'aio_write -P 0xdd 4M 256k' \
  -c 'aio_flush' \
  -c 'read -P 0xcc 3M 256k' \
  -c 'read -P 0xdd 4M 256k' \
  -c 'flush' "$url" >out 2>&1 || fail "qemu-io failed: $(cat out)"
if grep -iE 'fail|error|verification' out; then
  fail "qemu-io found an error: $(cat out)"
fi
python <<'END'
h = connect("d")
check("extents", extents(h, 2 * MiB), [
    (4 * PAGE, "data"), (MiB - 4 * PAGE + 64 * KiB, "hole"),
    (64 * KiB, "zero"), (64 * KiB, "hole"), (832 * KiB, "data")])
END

step "a pattern that is not there is seen"
refused qemu-io -f raw -c 'read -P 0xee 3M 4k' "$url"
