#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The truncate filter makes a disk look larger or smaller.

. "$(dirname "$0")/../functions.sh"

requires_filter truncate
step "larger: zeros that cannot be written"
start_server s --filter=truncate "$mramdisk" size=1000001 round-up=1M
python <<'END'
h = connect("d")
check("size", h.get_size(), MiB)
h.pwrite(pattern(10), 999991)
check("around its end", h.pread(100, 999980), bytes(11) + pattern(10) +
      bytes(79))
h.pwrite(bytes(1000), 1000001)
refused("data beyond", errno.ENOSPC, h.pwrite, b"x", 1000001)
check("extents", extents(h)[-1][1], "hole")
END
stop_server s

step "smaller"
start_server s --filter=truncate "$mramdisk" size=1000001 round-down=4096
python <<'END'
h = connect("d")
check("size", h.get_size(), 999424)
h.pwrite(b"x", 999423)
refused("beyond", errno.ENOSPC, h.pwrite, b"x", 999424)
check("the disk itself", names()["d"], "~976.6K RAM disk, 4K mapped")
END
