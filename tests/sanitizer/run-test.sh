#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Run a test whose nbdkit loads plugins that were built with a sanitizer (gcc's,
# configure --enable-sanitizer); any report of it fails the test.  "make
# check-sanitizer-nbdkit" has make run the tests with this.
# Usage: run-test.sh TEST

here=$(cd "$(dirname "$0")" && pwd)
builddir=${abs_top_builddir:-$PWD}

skip ()
{
  echo "SKIP: $*"
  exit 77
}

# The runtime is what the plugin wants, as the plugin's own loader finds it.
runtime_of ()                   # PLUGIN
{
  ldd "$1" | sed -n 's/^.*lib[at]san\.so[.0-9]* => \(.*\) (0x.*$/\1/p'
}

MBLOCK_NBDKIT=$(type -P nbdkit) || skip "nbdkit is not installed"
MBLOCK_RUNTIME=$(runtime_of "$builddir/mnbd.so")
[ -n "$MBLOCK_RUNTIME" ] ||
  skip "mnbd.so brings no runtime of a sanitizer (clang's is for programs)"
MBLOCK_BEGIN=$builddir/tests/sanitizer/.libs/begin.so
if ! [ -e "$MBLOCK_BEGIN" ]; then
  echo "FAIL: $MBLOCK_BEGIN does not exist; run make check first" >&2
  exit 99
fi
MBLOCK_LOADER=$(ldd "$MBLOCK_NBDKIT" |
  sed -n 's/^[[:space:]]*\(\/[^ ]*\/ld-[^ ]*\) (0x.*$/\1/p')
"$MBLOCK_LOADER" --preload "$MBLOCK_RUNTIME" --argv0 x /bin/true ||
  skip "the loader '$MBLOCK_LOADER' knows no --preload or --argv0"
export MBLOCK_NBDKIT MBLOCK_RUNTIME MBLOCK_BEGIN MBLOCK_LOADER

reports=$(mktemp -d "${TMPDIR:-/tmp}/mblock-reports-XXXXXX") || exit 99
trap 'rm -rf "$reports"' EXIT
# nbdkit and its libraries keep some of their memory until the end, which is no
# fault of ours.
options=log_path=$reports/report
export ASAN_OPTIONS=$options:detect_leaks=0
export UBSAN_OPTIONS=$options:print_stacktrace=1
export TSAN_OPTIONS=$options:suppressions=$here/thread.supp
export MBLOCK_PATH_FIRST=$here
# Not with nbdkit's own plugin, too.
export PLUGIN=$builddir/mnbd.so

"$@"
rc=$?
for report in "$reports"/*; do
  [ -e "$report" ] || continue
  echo "FAIL: $1: the sanitizer reports:" >&2
  cat "$report" >&2
  rc=1
done
exit $rc
