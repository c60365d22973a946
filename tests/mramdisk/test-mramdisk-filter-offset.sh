#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The offset filter serves a part of a disk.

. "$(dirname "$0")/../functions.sh"

requires_filter offset
start_server s --filter=offset "$mramdisk" size=16M offset=8190 range=1M
python <<'END'
h = connect("d")
check("size", h.get_size(), MiB)
# 8190 is two bytes before a page of the disk begins.
h.pwrite(b"abcd", 0)
check("extents follow", extents(h, 10000), [(2 + PAGE, "data"),
                                            (10000 - PAGE - 2, "hole")])
check("content", h.pread(5, 0), b"abcd\0")
check("mapped", names()["d"], "16M RAM disk, 8K mapped")
h.trim(MiB, 0)
check("a trim of it leaves the page that it shares", names()["d"],
      "16M RAM disk, 4K mapped")
refused("past its end", errno.ENOSPC, h.pwrite, b"x", MiB)
refused("a read past it", errno.EINVAL, h.pread, 2, MiB - 1)
END
