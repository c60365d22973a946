#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An unknown name creates an empty disk of 16 MiB, or of size=.

. "$(dirname "$0")/../functions.sh"

step "without size= it is 32768 sectors of 512 bytes"
serve
python <<'END'
h = connect("new")
check("size", h.get_size(), 32768 * 512)
check("extents", extents(h), [(16 * MiB, "hole")])
check("first and last bytes", h.pread(512, 0) + h.pread(512, 16 * MiB - 512),
      bytes(1024))
check("read-only", h.is_read_only(), False)
END
stop_server s

step "the size can be given with its key, without, and with each suffix"
while read -r parameter bytes; do
  serve "$parameter"
  python <<END
check("$parameter", connect("new").get_size(), $bytes)
END
  stop_server s
done <<'END'
size=12345 12345
12345b 12345
3s 1536
5k 5120
2M 2097152
7G 7516192768
size=2T 2199023255552
size=0 0
END
