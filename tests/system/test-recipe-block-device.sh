#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe for block devices in mblock-recipes(7), and that with nbdfuse.  A
# stand-in takes the place of nbd-client, with the same options.

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

block_devices
requires mke2fs
recipe_server disk=vm-1,size=64M
mke2fs -q -t ext4 -F "$(readlink -f .)"/ext4 64M
nbdcopy ext4 "$(uri vm-1)"

title="A block device of this machine"
recipe_run "$title" "/nbdfuse/,\$d; /^mount/a echo kept >$tmp/mnt/file"
[ ! -e mnt/file ] || fail "the file system was not unmounted"

step "nbdfuse"
# The page leaves it to the reader when the file is used.
recipe_run "$title" "1,/^nbd-client -d/d
  /^nbdfuse/a until [ -e disk/vm-1 ]; do sleep 0.05; done; cp disk/vm-1 copy"
debugfs -R 'cat file' copy >out 2>/dev/null
check "the file" "$(cat out)" kept
exit 0
