#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mnbd-on-error=fail: without the secondary what clients write and flush fails;
# they read on, and when it is back all is well.

. "$(dirname "$0")/../mirror-functions.sh"

start_server u "$mramdisk" size=8M
start_mirror "$mramdisk" size=8M mnbd-on-error=fail
mirror <<'END'
synchronised()
connect().pwrite(b"a" * 1000, 1000)
END
crash_server u
mirror <<'END'
h = connect()
refused("write", errno.EIO, h.pwrite, b"b" * 1000, 1500)
refused("write", errno.EIO, h.pwrite, b"b" * 1000, 5 * MiB)
refused("zero", errno.EIO, h.zero, 1000, 6 * MiB)
refused("flush", errno.EIO, h.flush)
check("first", bytes(h.pread(500, 1000)), b"a" * 500)
s = status()
check("state", (s["state"], s["on_error"]), ("degraded", "fail"))
END
start_server u "$mramdisk" size=8M
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"c" * 1000, 1500)
h.flush()
same()
END
