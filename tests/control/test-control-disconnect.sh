#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# client_disconnect ends one connection and no other: what was sent before is
# done, the server hangs up, and a client may come again.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control
python <<'END'
from controltest import *
c = Control()

def ids():
    return [x["id"] for x in c.call("client_list")["clients"]]

def is_dead(h):
    try:
        h.pread(1, 0)
    except nbd.Error:
        return True
    return False

keep = connect("a")
for at_once in False, True:
    h = connect("a")
    id = max(ids())
    h.pwrite(b"x", 5)
    r = c.call("client_disconnect", id=id, at_once=at_once)
    check("id", r["id"], id)
    check("closed", r["closed"], True)
    check("requests fail", is_dead(h), True)
    c.wait("the server hangs up", lambda: id not in ids())
    check("the other one goes on", bytes(keep.pread(1, 5)), b"x")
    check("again", bytes(connect("a").pread(1, 5)), b"x")
END
stop_server s

# A client without a socket of its own cannot be disconnected from outside, but
# nbdkit (1.34) can end its connection when it sends a request.
has=$(nbdkit "$mramdisk" --dump-plugin | sed -n 's/^mramdisk_disconnect=//p')
[[ $has = yes || $has = no ]] || fail "mramdisk_disconnect=$has"
mramdisk=$mramdisk has=$has python <<'END'
from controltest import *

for at_once in False, True:
    h = nbd.NBD()
    h.connect_command(["nbdkit", "-s", "--exit-with-parent",
                       os.environ["mramdisk"], "size=1M",
                       "control=" + os.environ["tmp"] + "/stdio.control"])
    c = Control(os.environ["tmp"] + "/stdio.control")
    h.pwrite(b"x", 5)
    one, = c.call("client_list")["clients"]
    check("address", one["address"], "stdio")
    r = c.call("client_disconnect", id=one["id"], at_once=at_once)
    check("closed", r["closed"], False)
    if at_once and os.environ["has"] == "yes":
        # No reply at all.
        refused("a request", errno.ENOTCONN, h.pread, 1, 0)
        check("it is closed", h.aio_is_ready(), False)
    else:
        refused("a request", errno.ESHUTDOWN, h.pread, 1, 0)
        refused("another request", errno.ESHUTDOWN, h.pread, 1, 0)
        h.shutdown()
    del h
END
