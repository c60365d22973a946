#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The server is killed again and again while clients write, and clone, create,
# resize, set, rename and destroy disks; what was answered is there.
# MBLOCK_KILL_ROUNDS= does it more often, MBLOCK_KILL_SEED= again.

. "$(dirname "$0")/../functions.sh"

# In memory: on a disk's file system it is the same, but slower.
folder=$tmp
if [ -w /dev/shm ]; then
  folder=$(mktemp -d /dev/shm/mblock-test-XXXXXX)
  at_exit rm -rf "$folder"
fi
seconds=8
[ -z "$MBLOCK_KILL_ROUNDS" ] || seconds=1000000
export KILL="${MBLOCK_KILL_ROUNDS:-30}
$seconds
${MBLOCK_KILL_SEED:-$RANDOM}
nbdkit
-f
-U
$tmp/s.sock
-P
$tmp/s.pid
$mramdisk
arena=$folder/arena
arena-wait=60
control=$tmp/control
max-memory=256M
auto-create=no"
nbdsh -c 'from nbdtest import *' \
  -c "exec(open('$testdir/kill-shadow.py').read())" ||
  fail "status $?; the log ends with: $(tail -n 5 s.log)"
