#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk= creates disks with their own size, sector size and read-only flag.

. "$(dirname "$0")/../functions.sh"

serve size=5M sector-size=1024 \
  disk=plain \
  disk=sized,size=3M \
  disk=all,size=1M,sector-size=4096,readonly=yes \
  disk=order,readonly=no,sector-size=512,size=1536 \
  disk=a,,b,size=2M \
  disk=,,,,
python <<'END'
def look(name):
    h = connect(name)
    return (h.get_size(), h.get_block_size(nbd.SIZE_MINIMUM),
            bool(h.is_read_only()))

check("plain has the defaults", look("plain"), (5 * MiB, 1024, False))
check("sized", look("sized"), (3 * MiB, 1024, False))
check("all", look("all"), (1 * MiB, 4096, True))
check("order", look("order"), (1536, 512, False))
check("a doubled comma is one in the name", look("a,b"),
      (2 * MiB, 1024, False))
check("a name of two commas", look(",,"), (5 * MiB, 1024, False))

# They exist from the start, and stay although nothing was written.
expected = ["", ",,", "a,b", "all", "order", "plain", "sized"]
check("exports", sorted(names()), expected)
END
