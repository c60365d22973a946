#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Under the cache filter writes reach the disk with the flush.

. "$(dirname "$0")/../functions.sh"

requires_filter cache
start_server s --filter=cache "$mramdisk" size=1M cache=writeback
python <<'END'
h = connect("d")
h.pwrite(pattern(256 * KiB), 0)
check("read back", h.pread(256 * KiB, 0), pattern(256 * KiB))
check("before the flush", names()["d"], "1M RAM disk, 0 mapped")
h.flush()
check("after the flush", names()["d"], "1M RAM disk, 256K mapped")
END
stop_server s

step "what was written through it is on the disk when it is opened again"
start_server s --filter=cache "$mramdisk" size=1M cache=writethrough
python <<'END'
h = connect("d")
h.pwrite(pattern(200000), 77)
h.shutdown()
h = connect("d")
check("content", h.pread(200000, 77), pattern(200000))
check("mapped", int(names()["d"].split()[3].rstrip("K")) >= 200, True)
END
