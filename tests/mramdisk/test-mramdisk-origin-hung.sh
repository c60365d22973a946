#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An origin whose server leaves a request unanswered for 30 seconds counts as
# away, though its connections are open; when it is there again it gets the
# request again.

. "$(dirname "$0")/../mnbd-functions.sh"

fault_server u --set size=1M
start_server s "$mramdisk" control="$tmp/control" "disk=d,origin=$(uri '' u)"
python <<'END'
from controltest import *

def state():
    return c.info("d")["origin"]["state"]

connect(server="u").pwrite(pattern(MiB), 0)
c, h = Control(), connect("d")
check("state", state(), "lazy")
tell("fault on=read,do=ignore,times=1")
tell("fault on=connect,do=close")       # so that it stays away
log = Log()
buf = nbd.Buffer(4096)
began = time.monotonic()
cookie = h.aio_pread(buf, 8192)
h.poll(0)
c.wait("it is away", lambda: state() == "away")
not_before("it is away", began, 30)
check("it waits", h.aio_command_completed(cookie), False)
check("requests", len(log.new("read")), 1)
tell("clear")
all_end(h, [cookie])
check("content", buf.to_bytearray(), pattern(MiB)[8192:12288])
c.wait("it is back", lambda: state() == "lazy")
END
