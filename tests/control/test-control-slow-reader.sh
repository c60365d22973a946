#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A client that never reads is closed, which is logged, and disturbs no others;
# one that reads late gets all its responses.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control disk=a
python <<'END'
from controltest import *
deaf, late, c = Control(), Control(), Control()

deaf.call("subscribe")
name = "n" * 4000
for i in range(700):            # 2 events of 4 KiB each, the limit is 4 MiB
    c.call("disk_create", name=name)
    c.call("disk_destroy", name=name)
c.wait("the log", lambda: "it does not read its events" in
       open("s.log").read())
check("others", c.call("version")["name"], "mramdisk")

# 20,000 requests before the first answer is read: more than fits.
late.s.settimeout(0.2)
line = b'{"jsonrpc":"2.0","id":%d,"method":"help"}\n'
sent, rest = 0, b""
while sent < 2000:
    rest = rest or line % sent
    try:
        rest = rest[late.s.send(rest):]
    except socket.timeout:
        break
    if not rest:
        sent += 1
late.s.settimeout(60)
check("others", c.call("version")["name"], "mramdisk")
for i in range(sent):
    check("answers in order", late.read()["id"], i)
END
