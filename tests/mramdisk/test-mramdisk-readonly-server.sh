#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit -r makes every disk read-only for its clients.

. "$(dirname "$0")/../functions.sh"

start_server s -r "$mramdisk" size=1M disk=a
python <<'END'
for name in "a", "new":
    h = connect(name)
    check("read-only flag", h.is_read_only(), True)
    refused("write", errno.EPERM, h.pwrite, b"x", 0)
    refused("trim", errno.EPERM, h.trim, 4096, 0)
    check("read", h.pread(1, 0), b"\0")
END
