#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each file of the tree names its licence in one of its first lines, and it is
# the one in LICENSE.

. "$(dirname "$0")/../functions.sh"

top=$(cd "$testdir/.." && pwd)
tag='SPDX-License-Identifier: BSD-3-Clause'
tag_lines=3                     # after "#!…" and "=encoding"

# The files of a source tree.  A release also holds those that autoreconf and
# automake have made, which are other projects'.
files_of ()                     # TOP
{
  if [ -e "$1/.git" ] && type -P git >/dev/null; then
    # The tree may be another user's.
    git -c safe.directory='*' -C "$1" ls-files -z
  else
    (cd "$1" && find . \( -name .git -o -path './build*' -o -path './_build' \
        -o -name .deps -o -name .libs -o -name autom4te.cache \
        -o -path './mblock-[0-9]*' \
        \) -prune \
        -o -type f ! -path './configure*~' ! -path ./configure \
        ! -path ./aclocal.m4 ! -path ./Makefile.in ! -path ./config.h.in \
        ! -path './m4/l*.m4' ! -name '*.pyc' -printf '%P\0')
  fi
}

# What LICENSE alone speaks for: texts that are shown as they are, data, and
# formats without comments.
is_untagged ()                  # FILE
{
  case $1 in
    LICENSE | NEWS) ;;
    tests/fuzz/corpus-*/* | bench/results/*.txt | examples/*/*.json) ;;
    packaging/debian/changelog | packaging/debian/source/format) ;;
    packaging/debian/*.dirs | packaging/debian/*.docs) ;;
    packaging/debian/*.examples | packaging/debian/*.install) ;;
    packaging/debian/*.manpages) ;;
    *) return 1 ;;
  esac
}

# Prints each file that breaks the rule.
wrong_files ()                  # TOP
{
  local f
  while IFS= read -r -d '' f; do
    [ -f "$1/$f" ] || continue  # removed, and not committed yet
    is_untagged "$f" ||
      head -n $tag_lines "$1/$f" | grep -qF "$tag" || echo "$f"
  done < <(files_of "$1")
}

[ "$(files_of "$top" | tr -cd '\0' | wc -c)" -gt 300 ] ||
  fail "the list of files is too short"
wrong=$(wrong_files "$top")
[ -z "$wrong" ] || fail "expected '$tag' near the begin of: $wrong"
for line in 'Redistribution and use in source and binary forms' \
    'Neither the name of the copyright holder'; do
  grep -q "$line" "$top/LICENSE" || fail "LICENSE is not BSD-3-Clause"
done

# It must be able to fail.
mkdir -p copy/lib copy/bench/results
echo 'int i;' >copy/lib/none.c
echo '/* SPDX-License-Identifier: GPL-3.0-only */' >copy/lib/other.c
printf '\n\n\n\n# %s\n' "$tag" >copy/late.sh
printf '#!/bin/sh\n# %s\n' "$tag" >copy/right.sh
echo 1 >copy/bench/results/1.txt
check "files without the tag" \
  "$(wrong_files copy | sort | tr '\n' ' ')" "late.sh lib/none.c lib/other.c "
