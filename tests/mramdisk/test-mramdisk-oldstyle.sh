#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit -o serves the default disk to oldstyle clients.

. "$(dirname "$0")/../functions.sh"

start_server s -o "$mramdisk" size=1M default=main disk=main,size=2M
python <<'END'
h = connect()
check("protocol", h.get_protocol(), "oldstyle")
check("size", h.get_size(), 2 * MiB)
h.pwrite(b"old", 2 * MiB - 3)
check("content", connect().pread(4, 2 * MiB - 4), b"\0old")
END
stop_server s

step "without default= it is one made by connecting"
start_server s -o "$mramdisk" size=1M
python <<'END'
check("size", connect().get_size(), 1 * MiB)
END
