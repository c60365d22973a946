#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server without locked memory need not be allowed to unlock any: containers
# may refuse munlock.

. "$(dirname "$0")/../functions.sh"

requires nbdsh strace
strace -o strace.log true 2>/dev/null || skip "strace is not allowed"

strace -f -qq -o strace.log -e trace=munlock -e inject=munlock:error=EPERM \
  nbdkit -f -U "$sock" -P "$tmp/s.pid" "$mramdisk" 1M >said 2>&1 &
tracer=$!
for ((i = 0; i < 600; i++)); do
  { [ ! -s s.pid ] && running "$tracer"; } || break
  sleep 0.1
done
[ -s s.pid ] || fail "it does not start: $(cat said strace.log)"
at_exit kill "$(cat s.pid)"
nbdsh -u "$(uri)" -c 'h.pwrite(b"x", 0)
assert h.pread(1, 0) == b"x"' || fail "$(cat said strace.log)"
