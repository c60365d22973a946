#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Everything at once, for a short time: disks are managed and used while servers
# are killed, memory is full, and clients break the rules; all is as the models
# say.  MBLOCK_TORTURE_SECONDS= is how long, MBLOCK_TORTURE_SEED= replays.

. "$(dirname "$0")/../functions.sh"

[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 4096 ] ||
  skip "the hard limit of file descriptors is under 4096"
folder=$tmp
if [ -w /dev/shm ]; then
  folder=$(mktemp -d /dev/shm/mblock-test-XXXXXX)
  at_exit rm -rf "$folder"
fi
"$testdir/torture/torture" --seconds="${MBLOCK_TORTURE_SECONDS:-20}" \
  ${MBLOCK_TORTURE_SEED:+"--seed=$MBLOCK_TORTURE_SEED"} --disks=80 --actors=2 \
  --kill-every=150 --folder="$folder" >out || {
  cat out
  fail "see above"
}
cat out
grep -q 'server s: kill' out || fail "no server was killed"
