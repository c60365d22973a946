#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# configure refuses a 32-bit machine, and says why.

. "$(dirname "$0")/../functions.sh"

configure=$testdir/../configure
requires gcc
[ -e "$configure" ] || skip "there is no configure"
echo 'char exact[sizeof (void *) == 4 ? 1 : -1];' >small.c
gcc -m32 -c small.c 2>said || skip "gcc has no -m32: $(head -n 1 said)"

# Objects of 32 bits, but programs as before: to link one takes libraries that
# few have.
cat >gcc-32 <<'END'
#!/bin/sh
case " $* " in *" -c "*) exec gcc -m32 "$@" ;; esac
exec gcc "$@"
END
chmod +x gcc-32
# A copy, since a source tree that is configured cannot be built elsewhere.
mkdir -p copy/lib/ramdisk build
cp -r "$testdir/../configure" "$testdir/../build-aux" copy/
cp "$testdir/../lib/ramdisk/radix.h" copy/lib/ramdisk/
chmod -R u+w copy
cd build || exit 99
! ../copy/configure CC="$tmp/gcc-32" >../said 2>&1 </dev/null ||
  fail "configure accepts it"
grep -q '^configure: error: mblock needs a 64-bit machine: ' ../said ||
  fail "$(tail -n 5 ../said)"
