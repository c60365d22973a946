#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Build fuzz-TARGET with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and run it for MBLOCK_FUZZ_SECONDS (10) on its
# corpus.  What crashes it is left in the folder fuzz/TARGET of the build tree,
# as are new inputs; those worth keeping go to tests/fuzz/corpus-TARGET by
# "tests/fuzz/run-fuzz.sh TARGET merge".
# Usage: run-fuzz.sh jsonrpc|wire [merge]
set -eu

src=$(cd "$(dirname "$0")/../.." && pwd)
build=${abs_top_builddir:-$PWD}
clang=${MBLOCK_CLANG:-clang}
target=${1:-}
corpus=$src/tests/fuzz/corpus-$target
libraries=
m=$src/plugins/mramdisk
case $target in
  jsonrpc)
    libraries='liburcu-memb jansson'
    sources="$src/common/control.c $src/common/jsonrpc.c
      $src/common/printable.c $src/common/message.c $src/common/unix-socket.c
      $m/arena.c $m/disk.c $m/events.c $m/figures.c $m/methods.c $m/radix.c
      $m/rcu.c $m/registry.c"
    includes="-I$src/common -I$m"
    ;;
  wire)
    sources=$src/plugins/mnbd/wire.c
    includes="-I$src/common -I$src/plugins/mnbd"
    ;;
  *)
    echo "run-fuzz.sh: '$target': expected jsonrpc or wire" >&2
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
  -fno-sanitize-recover=all -I"$build" $includes \
  "$src/tests/fuzz/fuzz-$target.c" $sources -pthread $flags -o "fuzz-$target"

if [ "${2:-}" = merge ]; then
  exec "./fuzz-$target" -merge=1 "$corpus" new
fi
exec "./fuzz-$target" -max_total_time="${MBLOCK_FUZZ_SECONDS:-10}" \
  -timeout=20 -max_len=4096 -dict="$src/tests/fuzz/$target.dict" \
  -print_final_stats=1 new "$corpus"
