#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A plugin that can hold less than the upstream, because of mnbd-cache-max or
# because its memory ends.  No client sees an error, and every byte is right.

. "$(dirname "$0")/../cache-functions.sh"

random_file u.orig 32M
cp u.orig disk
start_server u file disk

# use WHAT PARAMETERS…
use ()
{
  local what=$1
  shift
  step "$what"
  cp u.orig disk
  start_cache "$@"
  nbdcopy --requests=8 "$(uri)" copy
  cmp copy u.orig
  python <<'END'
import random

random.seed(1)
data = bytearray(open("u.orig", "rb").read())
h = connect()
for i in range(3000):
    offset = random.randrange(len(data) - 50000)
    n = random.choice((1, 512, 4096, 5000, 50000))
    if i % 3 == 0:
        new = os.urandom(n)
        data[offset:offset + n] = new
        h.pwrite(new, offset)
    else:
        check("read %d" % i, h.pread(n, offset), data[offset:offset + n])
h.flush()
check("upstream", open("disk", "rb").read() == data, True)
END
  [ "$(cache_stat evicted_bytes)" -gt 0 ] || fail "nothing was evicted"
}

beneath=("$mramdisk" size=32M)
for mode in writethrough writeback; do
  use "mnbd-cache-max, $mode" mnbd-cache=$mode mnbd-cache-max=4M
  [ "$(cache_stat cached_bytes)" -le 4194304 ] || fail "$(cache_stat cached_bytes)"
  stop_server s
  use "max-memory, $mode" mnbd-cache=$mode max-memory=8M
  stop_server s
done
