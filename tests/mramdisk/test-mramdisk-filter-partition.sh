#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The partition filter serves one partition of a disk.

. "$(dirname "$0")/../functions.sh"

# The filter looks for the table when a connection opens, and what it stands on
# must then have one already.  So the disk is written through a server of its
# own, and the filter stands in a second one, over nbdkit's nbd plugin.
requires_filter partition
nbdkit nbd --dump-plugin >out 2>&1 ||
  skip "nbdkit's nbd plugin is not installed"
serve size=64M
python <<'END'
def entry(start, sectors):
    return struct.pack("<4sB3sII", bytes(4), 0x83, bytes(3), start, sectors)

mbr = bytes(446) + entry(2048, 8192) + entry(16384, 20000) + bytes(32)
connect("d").pwrite(mbr + b"\x55\xaa", 0)
END
start_server part --filter=partition nbd socket="$sock" export=d partition=2
python <<'END'
h, disk = connect("", server="part"), connect("d")
check("size", h.get_size(), 20000 * 512)
h.pwrite(pattern(100000), 3)
check("in its place on the disk", disk.pread(100000, 16384 * 512 + 3),
      pattern(100000))
h.pwrite(b"end", 20000 * 512 - 3)
check("its end", disk.pread(4, (16384 + 20000) * 512 - 3), b"end\0")
refused("past its end", errno.ENOSPC, h.pwrite, b"x", 20000 * 512)
END
