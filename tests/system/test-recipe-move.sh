#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe that moves a disk to another host, in mblock-recipes(7).

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

recipe_server
start_server other "$mramdisk" max-memory=1G size=1G
golden_image
requires qemu-io
qemu-io -f raw -c 'write -P 5 1M 64k' "$(uri vm-1)" >out || fail "$(cat out)"
recipe_run "Move a disk to another host" \
  "s|nbd://other-host/vm-1|'$(uri vm-1 other)'|"
qemu-img compare -q -f raw -F raw "$(uri vm-1)" "$(uri vm-1 other)" ||
  fail "the disk on the other host differs"
exit 0
