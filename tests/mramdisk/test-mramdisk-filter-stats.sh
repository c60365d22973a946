#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The stats filter counts what reaches the disk.

. "$(dirname "$0")/../functions.sh"

requires_filter stats
start_server s --filter=stats "$mramdisk" size=1M statsfile="$tmp/stats"
python <<'END'
h = connect("d")
for i in range(10):
    h.pwrite(pattern(PAGE), i * PAGE)
for i in range(20):
    h.pread(PAGE, i * PAGE)
h.trim(64 * KiB, 0)
h.zero(4096, 0)
h.flush()
h.shutdown()
END
stop_server s
for line in 'write: 10 ops' 'read: 20 ops' 'trim: 1 ops' 'zero: 1 ops' \
    'flush: 1 ops'; do
  grep -q "^$line" stats || fail "no '$line' in: $(cat stats)"
done
