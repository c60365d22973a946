#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# After an outage, the server gets every write, zero and trim that it had
# acknowledged but not flushed, in order, before anything new; after a flush,
# none of them.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=30
python <<'END'
log = Log().new
h = connect()
log()
def some():
    h.pwrite(pattern(10000, 1), 0)
    h.pwrite(pattern(10000, 2), 5000)
    h.zero(4096, 8192)
    h.pwrite(pattern(100, 3), 8190)
    h.trim(4096, 65536)
    h.pwrite(pattern(4096, 4), 65536 + 1)
changes = [("write", 0, 10000), ("write", 5000, 10000), ("zero", 8192, 4096),
           ("write", 8190, 100), ("trim", 65536, 4096),
           ("write", 65537, 4096)]
some()
check("what was sent", log(), changes)

# The disk's content is lost, as in a crash of a server with a cache.
content = h.pread(131072, 0)
log()
tell("drop")
check("content", h.pread(131072, 0), content)
check("replayed, then the read", log(), changes + [("read", 0, 131072)])

# The flush is what ends the need to keep them.
h.flush()
check("the flush", [c for c, o, n in log()], ["flush"])
tell("drop")
h.pread(1, 0)
check("after a flush", log(), [("read", 0, 1)])

# An outage before the flush: it has to come after the replay.
some()
log()
tell("drop")
h.flush()
got = log()
check("replay before the flush", got[:len(changes)], changes)
check("the flush", got[-1][0], "flush")

# A crash in the middle of the replay: all of it again.
some()
log()
tell("fault on=trim,do=close,times=1")
tell("drop")
check("content", h.pread(131072, 0), content)
got = log()
check("the second replay", got[-7:], changes + [("read", 0, 131072)])

# A flush that fails flushes nothing.
tell("clear")
tell("fault on=flush,do=error,errno=EIO,times=1")
refused("a flush", errno.EIO, h.flush)
log()
tell("drop")
check("content", h.pread(131072, 0), content)
check("replay after a failed flush", log(), changes + [("read", 0, 131072)])

# A write that the server refuses was never acknowledged: it is not replayed.
h.flush()
tell("clear")
h.pwrite(b"one", 0)
tell("fault on=write,do=error,errno=ENOSPC,times=1")
refused("the second write", errno.ENOSPC, h.pwrite, b"two", 100)
h.pwrite(b"three", 200)
log()
tell("drop")
check("content", h.pread(3, 0) + h.pread(5, 200), b"onethree")
check("replayed", log("write"), [("write", 0, 3), ("write", 200, 5)])
END
