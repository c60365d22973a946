#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# lib/ knows neither nbdkit nor what stands above it, no two headers have the
# same name, no files include each other in a circle, docs/ARCHITECTURE.md names
# the files that there are, and each invariant once, and comments fit into 80
# columns.

. "$(dirname "$0")/../functions.sh"

requires python3
python3 "$testdir/system/test-layout.py" "$testdir/.." ||
  fail "the source tree breaks a rule of its layout, see above"

# It must be able to fail: each rule broken once, in a copy.
broken ()                       # WHAT FILE LINE
{
  rm -rf copy
  mkdir copy
  cp -R "$testdir/../lib" "$testdir/../plugins" "$testdir/../filters" \
    "$testdir/../tools" "$testdir/../bench" "$testdir/../tests" copy
  mkdir copy/docs
  cp "$testdir/../docs/ARCHITECTURE.md" copy/docs
  chmod -R u+w copy
  mkdir -p "copy/$(dirname "$2")"
  printf '%s\n' "$3" >>"copy/$2"
  ! python3 "$testdir/system/test-layout.py" copy >out ||
    fail "not noticed: $1"
  grep -qF "$2" out || fail "$1: got '$(cat out)'"
}
broken "lib/ with nbdkit" lib/base/size.c '#include <nbdkit-plugin.h>'
broken "an arrow up" lib/nbd/wire.c '#include "plugins/common/exports.h"'
broken "an arrow aside" lib/base/size.c '#include "rpc/jsonrpc.h"'
broken "two headers of one name" plugins/mnbd/size.h '/* again */'
broken "a circle" lib/base/utf8.c '#include "base/pattern.h"'
broken "a file that the page lacks" lib/base/unlisted.c '/* new */'
broken "a name without its file" docs/ARCHITECTURE.md 'See `renamed.c`.'
broken "a letter with two owners" docs/ARCHITECTURE.md \
  '| A1…A7 | `lib/ramdisk/arena.h` | pages, once more |'
wide=$(printf 'wide %.0s' {1..16})
broken "a wide comment" lib/base/size.c "/* $wide */"
broken "a wide comment in a script" tests/functions.sh "# $wide"
