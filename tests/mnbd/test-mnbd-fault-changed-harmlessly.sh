#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that returns with more capabilities, or with changes that affect no
# promise to a client, counts as the same server.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set multi_conn=no,fast_zero=no
start_forwarder socket="$tmp/u.sock" reconnect=20 connections=4
for change in multi_conn=yes fast_zero=yes preferred=65536 description=new; do
  step "$change"
  python <<END
h = connect()
h.pwrite(b"before", 0)
tell("set $change")
tell("drop")
check("content", h.pread(6, 0), b"before")
h.pwrite(b"after!", 0)
h.flush()
check("content", h.pread(6, 0), b"after!")
END
done
