#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Build fuzz-jsonrpc with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and run it for MBLOCK_FUZZ_SECONDS (10) on the
# corpus.  What crashes it is left in the folder fuzz/ of the build tree, as are
# new inputs; those worth keeping go to tests/fuzz/corpus-jsonrpc by
# "tests/fuzz/run-fuzz.sh merge".
set -eu

src=$(cd "$(dirname "$0")/../.." && pwd)
build=${abs_top_builddir:-$PWD}
clang=${MBLOCK_CLANG:-clang}
corpus=$src/tests/fuzz/corpus-jsonrpc

if ! [ -e "$build/config.h" ]; then
  echo "FAIL: $build has no config.h; run configure, and then this there" >&2
  exit 99
fi
command -v "$clang" >/dev/null || {
  echo "SKIP: $clang is not installed"
  exit 77
}
mkdir -p "$build/fuzz/new"
cd "$build/fuzz"
echo 'int LLVMFuzzerTestOneInput (const char *d, long n) { return !d && n; }' \
  >try.c
"$clang" -fsanitize=fuzzer,address,undefined try.c -o try 2>try.log || {
  echo "SKIP: $clang has no runtime of libFuzzer"
  exit 77
}
flags=$(pkg-config --cflags --libs liburcu-memb jansson)
m=$src/plugins/mramdisk
# shellcheck disable=SC2086
"$clang" -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all -I"$build" -I"$src/common" -I"$m" \
  "$src/tests/fuzz/fuzz-jsonrpc.c" \
  "$src/common/control.c" "$src/common/jsonrpc.c" "$src/common/printable.c" \
  "$src/common/message.c" \
  "$src/common/unix-socket.c" \
  "$m/arena.c" "$m/disk.c" "$m/events.c" "$m/figures.c" "$m/methods.c" "$m/radix.c" \
  "$m/rcu.c" "$m/registry.c" \
  -pthread $flags -o fuzz-jsonrpc

if [ "${1:-}" = merge ]; then
  exec ./fuzz-jsonrpc -merge=1 "$corpus" new
fi
exec ./fuzz-jsonrpc -max_total_time="${MBLOCK_FUZZ_SECONDS:-10}" -timeout=20 \
  -max_len=4096 -dict="$src/tests/fuzz/jsonrpc.dict" -print_final_stats=1 \
  new "$corpus"
