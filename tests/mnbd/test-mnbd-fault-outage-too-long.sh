#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An outage longer than reconnect=: requests fail with ESHUTDOWN, not earlier,
# and requests after the server's return succeed.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=2
python <<'END'
import time

h = connect()
h.pwrite(pattern(10000), 0)
start = time.monotonic()
tell("down")
refused("a read", errno.ESHUTDOWN, h.pread, 100, 0)
if time.monotonic() - start < 1.5:
    raise SystemExit("FAIL: it failed after %.1f s, expected 2" %
                     (time.monotonic() - start))
refused("a write", errno.ESHUTDOWN, h.pwrite, b"x", 0)
refused("a flush", errno.ESHUTDOWN, h.flush)
tell("up")
check("content", until_back(lambda: h.pread(10000, 0)), pattern(10000))
h.pwrite(b"x", 0)
h.flush()
END
stop_server s

step "several wait at once, and all go on"
start_forwarder socket="$tmp/u.sock" reconnect=60
python <<'END'
import threading
import time

h = connect()
others = [connect() for i in range(6)]
tell("down")
threads = [threading.Thread(target=o.pwrite, args=(b"%d" % i, 20000 + i))
           for i, o in enumerate(others)]
for t in threads:
    t.start()
time.sleep(0.5)
tell("up")
for t in threads:
    t.join(60)
    check("a thread that still waits", t.is_alive(), False)
check("content", h.pread(6, 20000), b"012345")
END
