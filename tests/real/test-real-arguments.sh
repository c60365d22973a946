#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Wrong arguments of the scripts of real systems: one line, nothing else.

. "$(dirname "$0")/../functions.sh"

# no SCRIPT LINE ARGUMENT…
no ()
{
  local rc=0
  "$testdir/real/$1" "${@:3}" >said 2>&1 </dev/null || rc=$?
  check "$1 ${*:3}" "$(cat said)" "tests/real/$1: $2"
  check "the status of $1 ${*:3}" $rc 1
}

for script in postgresql filesystems guests ceph upgrade; do
  "$testdir/real/$script" --help >said || fail "$script --help"
  grep -q "^Usage: tests/real/$script " said || fail "$(cat said)"
  no $script "--count: expected a value after it" --count
  for count in 0 x 1000000; do
    no $script "--count '$count': expected a number from 1 to 999999" \
      --count $count
  done
done
for script in postgresql filesystems guests ceph; do
  no $script "unknown argument '--none'; --help lists them" --none
  no $script "--build none: expected mramdisk.so there" --build none
done
no postgresql "--scale 'x': expected a number from 1 to 999" \
  --build "$builddir" --scale x
no filesystems "--fs 'zfs': expected ext4, xfs or btrfs" \
  --build "$builddir" --fs zfs
no ceph "--size '7': expected a number from 16 to 999, and M" \
  --build "$builddir" --size 7
no guests "--memory 'x': expected a number from 1 to 999999" \
  --build "$builddir" --memory x
no upgrade "--systems 'x': expected postgresql, filesystems, guests or ceph" \
  --systems x
if type -P git >/dev/null; then
  no upgrade "--from 'x': expected a commit of this repository" --from x
else
  no upgrade "--from 'x': git is not installed" --from x
fi
