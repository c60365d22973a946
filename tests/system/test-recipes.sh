#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipes of mblock-recipes(7) that need no VM and no root run as they are,
# one after the other, on the server of the synopsis.

. "$(dirname "$0")/../functions.sh"

requires qemu-img qemu-io qemu-nbd
page=$testdir/../docs/mblock-recipes.pod
sed "s|/tmp/nbd.sock|$tmp/s.sock|g; s|/tmp/mblock.sock|$tmp/control|g" \
  "$page" >page
mkdir bin
ln -s "$builddir/mblockctl" bin/mblockctl
PATH=$tmp/bin:$PATH
export MBLOCK_SOCKET=$tmp/control

serve control=control max-memory=1G
# Each block after "=for test run", in a file of its own.
awk '/^=head2 / { title = substr ($0, 8) }
     /^=for test run/ { n++; on = 1; print title > ("title." n); next }
     /^=/ { on = 0 }
     on && /^ / { print substr ($0, 2) > ("recipe." n) }' page
[ -e recipe.6 ] || fail "there are fewer recipes to run than expected"
for ((n = 1; ; n++)); do
  [ -e "recipe.$n" ] || break
  step "$(cat "title.$n")"
  bash -e "recipe.$n" >"out.$n" 2>&1 || {
    cat "out.$n"
    fail "the recipe does not work"
  }
done
grep -q '^  vm-1 ' out.1 || fail "the tree does not have the clones"
grep -q 'do not differ' out.4 || fail "the disk was not reset: $(cat out.4)"
mblockctl list --names | grep -q '^job-' && fail "the job's disk is still there"

# The fixture is Python, at least.
awk '/^=head2 A fixture for pytest/ { on = 1 } on && /^=head2 Back/ { exit }
     on && /^ / { print substr ($0, 2) }' "$page" >conftest.py
python3 -m py_compile conftest.py || fail "the fixture is no Python"
exit 0
