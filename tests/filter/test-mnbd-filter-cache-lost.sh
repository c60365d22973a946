#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Without a log an outage may lose acknowledged writes.  A client that was told
# so, or came after it, sees what the upstream has now, not what is cached.

. "$(dirname "$0")/../cache-functions.sh"

cat >begin.py <<'END'
h = connect()
other = connect()
h.pwrite(b"old!" * 1024, 0)
h.flush()
h.pwrite(b"new!" * 1024, 0)
power_cut()
h.pread(5, 65536)               # notices it
END

# lost STEP, for a server with these options; then the script.
lost ()
{
  step "$1"
  shift
  volatile_server u --multi-conn --size=1048576 "$@"
  start_cache mnbd-replay-buffer=0 mnbd-reconnect=5
  cat begin.py - | python
  stop_server s
  kill_child u
  rm u.img
}

lost "a flush" <<'END'
refused("a flush", errno.EIO, h.flush)
check("after it", h.pread(4096, 0), b"old!" * 1024)
check("for all", other.pread(4096, 0), b"old!" * 1024)
END

lost "a write with FUA, to a server that does not know FUA" --no-fua <<'END'
refused("the write", errno.EIO, h.pwrite, b"x", 8192, nbd.CMD_FLAG_FUA)
check("after it", h.pread(4096, 0), b"old!" * 1024)
END

lost "a new client" <<'END'
check("it reads", connect().pread(4096, 0), b"old!" * 1024)
END
