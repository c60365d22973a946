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
# Status 1: a line of it is not ignored.
git -c safe.directory='*' -C "$top" check-ignore --no-index --verbose \
  --non-matching --stdin <products >found || true
! grep '^::' found ||
  fail "not in .gitignore, see above: what a build makes"
