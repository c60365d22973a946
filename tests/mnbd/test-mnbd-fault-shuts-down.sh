#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that is ending answers requests with ESHUTDOWN and waits for its
# clients to disconnect.  That is an outage, even as its first answer.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock" connections=1
tell u fault on=read,times=2,do=error,errno=ESHUTDOWN
python <<'END'
h = connect()
check("content", h.pread(512, 0), bytes(512))
h.pwrite(b"x", 0)
check("content", h.pread(1, 0), b"x")
END
