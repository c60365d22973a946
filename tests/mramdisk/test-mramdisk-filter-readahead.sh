#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The readahead filter asks the disk to prefetch.

. "$(dirname "$0")/../functions.sh"

# It does so only over a plugin that is parallel and has a cache of its own, as
# mramdisk is under a filter.
requires_filter readahead log
start_server s --filter=readahead --filter=log "$mramdisk" size=16M \
  logfile="$tmp/requests"
python <<'END'
h = connect("d")
h.pwrite(pattern(MiB), 0)
for offset in range(0, MiB, 16 * KiB):
    check("read at %d" % offset, h.pread(16 * KiB, offset),
          pattern(MiB)[offset:offset + 16 * KiB])
END
grep -q ' Cache id=' requests ||
  fail "the disk saw no cache request: $(tail -n 20 requests)"
stop_server s
if grep -i 'readahead: warning' s.log; then
  fail "the filter says that it does not work here"
fi
