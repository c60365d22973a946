#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A release has all files of the tree.

. "$(dirname "$0")/../functions.sh"

top=$(cd "$testdir/.." && pwd)
requires git make
[ -e "$top/.git" ] || skip "not a git checkout"

unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$abs_top_builddir" distdir distdir="$tmp/release" >out 2>&1 ||
  fail "make distdir: $(cat out)"
git -c safe.directory='*' -C "$top" ls-files | grep -v '^\.gitignore$' >tree
while read -r file; do
  [ -e "release/$file" ] || ! [ -e "$top/$file" ] || echo "$file"
done <tree >missing
check "files that make dist would leave out" "$(cat missing)" ""
