#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Errors from the error filter reach the client; the disk continues to work.

. "$(dirname "$0")/../functions.sh"

requires_filter error
start_server s --filter=error "$mramdisk" size=1M error-pwrite=EIO \
  error-pwrite-rate=100% error-pwrite-file="$tmp/trigger" \
  error-zero=ENOMEM error-zero-rate=100% error-zero-file="$tmp/trigger"
python <<'END'
h = connect("d")
h.pwrite(pattern(PAGE), 0)
open("trigger", "w").close()
refused("a write", errno.EIO, h.pwrite, b"x", 0)
refused("a zero", errno.ENOMEM, h.zero, 4096, 0)
check("reads go on, and nothing has changed", h.pread(PAGE, 0), pattern(PAGE))
os.unlink("trigger")
h.pwrite(b"x", 0)
check("writes go on", h.pread(2, 0), b"x" + pattern(2)[1:])
END
