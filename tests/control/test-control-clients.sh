#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# 1,000 idle clients disturb no others; beyond 1,024, clients are told that the
# server is busy.

. "$(dirname "$0")/../functions.sh"

[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 4096 ] ||
  skip "the hard limit of file descriptors is under 4096"
ulimit -Sn 1024                 # as most systems have it
serve size=1M control=control disk=a
ulimit -Sn 4096
python <<'END'
from controltest import *
clients = [Control() for i in range(1000)]
c = Control()
check("one more is served", c.call("version")["name"], "mramdisk")
check("clients", c.call("stats")["arena"]["clients"], 1001)
# Their descriptors are not those of NBD connections.
handles = [connect("a") for i in range(50)]
handles[0].pwrite(b"data", 0)
check("the data path", handles[49].pread(4, 0), b"data")
check("an idle one is served", clients[0].call("version")["name"], "mramdisk")

clients += [Control() for i in range(23)]
check("clients", c.call("stats")["arena"]["clients"], 1024)
one = Control()
check("one too many", json.loads(one.line())["error"]["code"], BUSY)
check("is closed", one.line(), b"")
check("the others are not", clients[-1].call("version")["name"], "mramdisk")
for one in clients:
    one.f.close()
    one.s.close()
c.wait("clients go", lambda: c.call("stats")["arena"]["clients"] == 1)
check("there is room again", Control().call("version")["name"], "mramdisk")
END
grep -q 'a client was refused: there are too many already' s.log ||
  fail "the log does not say that a client was refused"
