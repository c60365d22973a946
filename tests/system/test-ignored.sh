#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# git ignores all that a build in the source tree leaves there.

. "$(dirname "$0")/../functions.sh"

top=$(cd "$testdir/.." && pwd)
requires git make
[ -e "$top/.git" ] || skip "not a git checkout"

unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$abs_top_builddir" list-products | sort -u >products
grep -qx mblockctl products || fail "list-products: $(cat products)"
# A line for each of them.  Status 1: none is ignored.
rc=0
git -c safe.directory='*' -C "$top" check-ignore --no-index --verbose \
  --non-matching --stdin <products >found || rc=$?
[ $rc -le 1 ] || fail "git check-ignore: status $rc"
check "lines of git" "$(wc -l <found)" "$(wc -l <products)"
! grep '^::' found ||
  fail "not in .gitignore, see above: what a build makes"
