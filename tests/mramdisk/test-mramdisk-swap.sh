#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit --swap locks the memory that the server uses, not all of max-memory.

. "$(dirname "$0")/../functions.sh"
requires nbdsh

# Locking may not be allowed, in a container.
nbdkit --swap -U - null --run true 2>/dev/null || skip "memory cannot be locked"

kilobytes ()
{
  sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$pid/status"
}

step "an idle server takes no memory for its disks"
start_server s --swap "$mramdisk" 1G max-memory=8G
before=$(kilobytes VmRSS)
[ "$before" -lt 1000000 ] || fail "expected less than 1 GB resident, got $before kB"
[ "$(kilobytes VmLck)" -gt 0 ] || fail "expected locked memory"

step "what is written is kept, and memory comes back after a trim"
nbdsh -u "$(uri)" -c '
data = b"x" * (1 << 20)
for i in range(64):
    h.pwrite(data, i << 20)
assert h.pread(1 << 20, 63 << 20) == data
h.trim(64 << 20, 0)
assert h.pread(1 << 20, 63 << 20) == bytes(1 << 20)'
for ((i = 0; i < 100; i++)); do
  after=$(kilobytes VmRSS)
  [ "$after" -lt $((before + 32768)) ] && break
  sleep 0.1
done
[ "$after" -lt $((before + 32768)) ] ||
  fail "expected about $before kB again, got $after kB"
