#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Without a log, a client of the cache loses what it wrote and leaves before it
# is told.  The next one is told, even if the cache starts anew for it because
# the upstream has another size, or wrote it back only when the client had left.

. "$(dirname "$0")/../cache-functions.sh"

# told_after_growth: the upstream comes back larger, so that the cache starts
# anew, and the next client is told of the loss.
told_after_growth ()
{
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
}

step "the upstream has another size"
volatile_server u --multi-conn --size=1048576
start_cache mnbd-replay-buffer=0 mnbd-reconnect=2
python <<'END'
h = connect()
h.pwrite(b"lost!", 0)
power_cut()
h.pread(5, 65536)               # notices it
h.shutdown()
END
told_after_growth
grep -q "connection was lost with unflushed writes" s.log ||
  fail "nothing was lost: $(cat s.log)"
stop_server s
kill_child u
rm u.img

writeback=(mnbd-replay-buffer=0 mnbd-reconnect=2 mnbd-cache=writeback
           mnbd-cache-dirty-age=1)
# write_and_leave: what is written is not flushed, but written back.
write_and_leave ()
{
  python <<'END'
h = connect()
h.pwrite(b"lost!", 0)
h.shutdown()
END
  wait_for "writeback by age" cache_stat_is dirty_bytes 0
}

step "writeback, when the client has left"
volatile_server u --multi-conn --size=1048576
start_cache "${writeback[@]}"
write_and_leave
python <<'END'
h = connect()
power_cut()
h.pread(5, 65536)               # notices it
refused("this client's flush", errno.EIO, h.flush)
h.flush()
h.shutdown()
h = connect()
refused("the next one's, in place of the first", errno.EIO, h.flush)
h.flush()
h.shutdown()
h = connect()
h.flush()
h.pwrite(b"saved", 0)
h.flush()
h.shutdown()
END

step "... and a flush has saved it"
write_and_leave
python <<'END'
h = connect()
h.flush()
h.zero(4096, 4096)              # goes to the upstream at once
power_cut()
h.pread(5, 65536)
refused("this client's flush", errno.EIO, h.flush)
h.flush()
h.shutdown()
h = connect()
h.flush()
h.shutdown()
END

step "... and the upstream has another size"
write_and_leave
told_after_growth
