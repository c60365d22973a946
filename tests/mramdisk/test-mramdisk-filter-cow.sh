#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Under the cow filter writes stay above the disk.

. "$(dirname "$0")/../functions.sh"

requires_filter cow
start_server s --filter=cow "$mramdisk" disk=d,size=16M,readonly=yes disk=w
python <<'END'
for name in "d", "w":
    h = connect(name)
    check("writable, %s" % name, h.is_read_only(), False)
    h.pwrite(pattern(100000), 5000)
    check("read back, %s" % name, h.pread(100002, 4999),
          b"\0" + pattern(100000) + b"\0")
    h.trim(64 * KiB, 64 * KiB)
    h.flush()
    check("the end, %s" % name, h.pread(10, 16 * MiB - 10), bytes(10))
# The list comes from the disks themselves.
check("the disk beneath", names()["d"], "16M RAM disk, 0 mapped, read-only")
check("the other", names()["w"], "16M RAM disk, 0 mapped")
END
