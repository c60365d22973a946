#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Without a log, a client of the cache loses what it wrote and leaves before it
# is told.  The next one is told, even if the cache starts anew for it because
# the upstream has another size.

. "$(dirname "$0")/../cache-functions.sh"

volatile_server u --multi-conn --size=1048576
start_cache mnbd-replay-buffer=0 mnbd-reconnect=2
python <<'END'
h = connect()
h.pwrite(b"lost!", 0)
power_cut()
h.pread(5, 65536)               # notices it
h.shutdown()
END
kill_child u
truncate -s 2M u.img
volatile_server u --multi-conn
python <<'END'
for i in range(600):
    try:
        h = connect()
        if h.get_size() == 2097152:
            break
        h.shutdown()
    except nbd.Error:
        pass                    # nbdkit still has the first client
    time.sleep(0.1)
check("size", h.get_size(), 2097152)
refused("the first flush", errno.EIO, h.flush)
h.flush()
END
grep -q "connection was lost with unflushed writes" s.log ||
  fail "nothing was lost: $(cat s.log)"
