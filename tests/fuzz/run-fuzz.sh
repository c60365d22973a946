#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Build fuzz-TARGET with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and run it for MBLOCK_FUZZ_SECONDS (10) on its
# corpus.  Crashing inputs stay in the folder fuzz/TARGET of the build tree, as
# do new inputs; "tests/fuzz/run-fuzz.sh TARGET merge" adds the useful ones to
# tests/fuzz/corpus-TARGET.
set -eu

src=$(cd "$(dirname "$0")/../.." && pwd)
build=${abs_top_builddir:-$PWD}
clang=${MBLOCK_CLANG:-clang}
target=${1:-}
corpus=$src/tests/fuzz/corpus-$target
lib=$src/lib
libraries=
wrap=
# The engine of mramdisk, and what checks it.
engine="$lib/base/printable.c $lib/base/size.c $lib/base/thread.c
  $lib/base/utf8.c $lib/base/uuid.c $(echo "$lib"/ramdisk/*.c)
  $src/tests/unit/engine-check.c"
case $target in
  engine)
    libraries=liburcu-memb
    sources="$engine $src/tests/unit/disk-shadow.c"
    ;;
  jsonrpc)
    libraries='liburcu-memb jansson'
    # Without jobs, which need connections; fuzz-jsonrpc.c has no such methods.
    sources="$(echo "$lib"/base/*.c "$lib"/rpc/*.c "$lib"/ramdisk/*.c)
      $lib/save/kept.c $lib/save/saved.c
      $src/plugins/mramdisk/events.c $src/plugins/mramdisk/json-origin.c
      $(ls "$src"/plugins/mramdisk/method*.c | grep -v /methods-jobs.c)"
    ;;
  parameters)
    libraries='liburcu-memb jansson nbdkit'
    sources="$(echo "$lib"/base/*.c "$lib"/rpc/*.c "$lib"/ramdisk/*.c)
      $src/plugins/common/control-socket.c $src/plugins/common/values.c
      $src/plugins/mramdisk/buffers.c $src/plugins/mramdisk/parameters.c
      $src/tests/fuzz/command-line.c"
    ;;
  recover)
    libraries='liburcu-memb jansson'
    wrap=-Wl,--wrap=uuid_new    # as in tests/crash/local.mk
    sources="$engine $(echo "$src"/tests/crash/world*.c)
      $src/tests/stress/model.c"
    ;;
  sizes)
    sources=$lib/base/size.c
    ;;
  upstream)
    libraries='libnbd nbdkit'
    sources="$(echo "$lib"/base/*.c) $lib/nbd/uri.c
      $src/plugins/common/values.c $src/tests/fuzz/command-line.c"
    ;;
  wire)
    sources="$lib/nbd/cover.c $lib/nbd/wire.c"
    ;;
  *)
    echo "run-fuzz.sh: '$target': expected engine, jsonrpc, parameters," \
      "recover, sizes, upstream or wire" >&2
    exit 2
    ;;
esac

if ! [ -e "$build/config.h" ]; then
  echo "FAIL: $build has no config.h; run configure, and then this there" >&2
  exit 99
fi
command -v "$clang" >/dev/null || {
  echo "SKIP: $clang is not installed"
  exit 77
}
mkdir -p "$build/fuzz/$target/new"
cd "$build/fuzz/$target"
echo 'int LLVMFuzzerTestOneInput (const char *d, long n) { return !d && n; }' \
  >try.c
"$clang" -fsanitize=fuzzer,address,undefined try.c -o try 2>try.log || {
  echo "SKIP: $clang has no runtime of libFuzzer"
  exit 77
}
flags=${libraries:+$(pkg-config --cflags --libs $libraries)}
# shellcheck disable=SC2086
"$clang" -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all -I"$build" -I"$lib" -I"$src" \
  "$src/tests/fuzz/fuzz-$target.c" $sources -pthread $wrap $flags \
  -o "fuzz-$target"

if [ "${2:-}" = merge ]; then
  exec "./fuzz-$target" -merge=1 "$corpus" new
fi
dict=
if [ -e "$src/tests/fuzz/$target.dict" ]; then
  dict=-dict=$src/tests/fuzz/$target.dict
fi
# shellcheck disable=SC2086
exec "./fuzz-$target" -max_total_time="${MBLOCK_FUZZ_SECONDS:-10}" \
  -error_exitcode=1 -timeout=120 -max_len=4096 $dict \
  -print_final_stats=1 new "$corpus"
