#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# stats: operations, bytes, errors and times of each kind, for each disk and in
# total, for open and closed connections, with one thread for each connection
# and with several.

. "$(dirname "$0")/../functions.sh"

for parallel in no yes; do
  step "parallel=$parallel"
  serve size=4M control=control parallel=$parallel
  python <<'END'
from controltest import *
c = Control()
def stats(name, op):
    f = c.call("stats", name=name)["disks"][0][op]
    return f["ops"], f["bytes"], f["errors"]

h = connect("d")
for i in range(10):
    h.pwrite(b"x" * 5000, i * 5000)
for i in range(20):
    h.pread(100, i * 100)
h.trim(8192, 0)
h.zero(4096, 0)
h.zero(4096, 4096)
for i in range(3):
    h.flush()
h.cache(8192, 0)
refused("past the end", None, h.pwrite, b"x", 4 * MiB)  # nbdkit refuses that
extents(h)
check("write", stats("d", "write"), (10, 50000, 0))
check("read", stats("d", "read"), (20, 2000, 0))
check("trim", stats("d", "trim"), (1, 8192, 0))
check("zero", stats("d", "zero"), (2, 8192, 0))
check("cache", stats("d", "cache"), (1, 8192, 0))
d = c.call("stats", name="d")["disks"][0]
check("flush", d["flush"], {"ops": 3, "errors": 0})
check("connections", d["connections"], 1)
check("extents", d["extents"]["ops"] >= 1, True)
check("gauges", (d["size"], d["mapped"], d["owned"], d["quota"]),
      (4 * MiB, 11 * PAGE, 11 * PAGE, None))

c.call("disk_resize", name="d", size=1 * MiB)
refused("an error", errno.EINVAL, h.pread, 1, 2 * MiB)
check("errors", stats("d", "read"), (21, 2000, 1))

# In flight at once, so that several threads count where there are several.
buf = nbd.Buffer(4096)
cookies = [h.aio_pread(buf, 0) for i in range(2000)]
for cookie in cookies:
    while not h.aio_command_completed(cookie):
        h.poll(-1)
check("many", stats("d", "read"), (2021, 2000 + 2000 * 4096, 1))
latency = c.call("stats", name="d")["disks"][0]["read"]["latency"]
check("bounds are powers of two, in order",
      [b for b, n in latency], sorted({1 << (b.bit_length() - 1)
                                       for b, n in latency}))
timed = sum(n for b, n in latency)
check("one in 16 or so is timed (%d)" % timed, 60 <= timed <= 260, True)

# Closed connections count too, of disks that are gone in the total.
h.shutdown()
c.wait("close", lambda: c.call("stats", name="d")["disks"][0]["connections"]
       == 0)
check("after the close", stats("d", "write"), (10, 50000, 0))
connect("e").pwrite(b"e", 0)
c.call("disk_destroy", name="d")
t = c.call("stats")
check("total", (t["total"]["write"]["ops"], t["total"]["write"]["bytes"],
      t["total"]["read"]["errors"], t["total"]["flush"]["ops"],
      t["total"]["cache"]["bytes"]), (11, 50001, 1, 3, 8192))
check("arena", sorted(t["arena"]), ["cached", "clients", "connections",
      "disks", "grace_periods", "limit", "retired", "uptime_seconds", "used"])
END
  stop_server s
done
