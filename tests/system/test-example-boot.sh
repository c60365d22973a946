#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The example of guests that boot from a far image does what it says, with a
# tiny guest, and leaves nothing.

. "$(dirname "$0")/../example-functions.sh"

requires qemu-system-x86_64 qemu-nbd qemu-img as ld pgrep
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "there is no module nbd"
[ "$(uname -m)" = x86_64 ] || skip "the tiny guest is for x86_64"
example boot
example_passes --guests 2 --clones 20 --record "$tmp/list"
check "lines of the list that are wrong" \
  "$(grep -vcE '^[0-9]+ [0-9]+$' "$tmp/list")" 0
grep -q 'each page 1.00 times' out || fail "$(tail -n 20 out)"
grep -q '^20 more disks, read as a boot reads them' out ||
  fail "$(tail -n 20 out)"

step "several guests at a time"
example_passes --guests 7 --at-a-time 3 --clones 0 --memory 32 --delay 2
grep -q '6 others, 3 at a time: all of them' out || fail "$(tail -n 20 out)"
grep -q 'each page 1.00 times' out || fail "$(tail -n 20 out)"

step "told to end while guests run, it ends them"
mkdir ends
TMPDIR=$tmp/ends "$testdir/../examples/boot" --build "$builddir" --guests 400 \
  --at-a-time 4 --clones 0 --memory 32 >ending 2>&1 &
pid=$!
for ((i = 0; i < 3000; i++)); do
  [ "$(pgrep -c -f "qemu-system.*$tmp/ends/boot")" -lt 4 ] || break
  running "$pid" || fail "it ended: $(cat ending)"
  pause 0.05
done
[ $i -lt 3000 ] || fail "there are never four guests: $(cat ending)"
kill "$pid"
rc=0
wait "$pid" || rc=$?
check "its status" $rc 143
check "guests and servers that are left" \
  "$(pgrep -f "$tmp/ends/boot" | grep -c .)" 0

step "with the list of what a boot reads"
example_passes --guests 1 --clones 0 --list "$tmp/list"
grep -q 'ranges of the list, .* were there after' out ||
  fail "$(tail -n 20 out)"
grep -q 'each page 1.00 times' out || fail "$(tail -n 20 out)"
if run_example --list "$tmp/none"; then
  fail "a list that is not there: expected an error"
fi
leaves_nothing
