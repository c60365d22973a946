#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The map of a disk over 4 GiB, which clients request 2^32-1 bytes at a time.

PATH=/usr/bin:$PATH
command -v nbdinfo >/dev/null ||
  { echo "SKIP: nbdinfo is not there (Debian: libnbd-bin)"; exit 77; }

# The server must not run when the command does not: no hanging on its socket.
out=$(timeout 60 nbdkit -U - "${abs_top_builddir:-$PWD}/mramdisk.so" 100G \
        --run 'timeout 30 nbdinfo --map --totals --json "$uri"') ||
  { echo "the server or nbdinfo failed"; exit 1; }
echo "$out"
/usr/bin/python3 -c 'import json, sys
[e] = json.loads(sys.argv[1])
assert (e["size"], e["description"]) == (107374182400, "hole,zero")' "$out"
