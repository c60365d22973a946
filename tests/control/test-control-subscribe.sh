#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Events: each kind, with its figures, in the order in which things happened,
# to those who subscribed to it.

. "$(dirname "$0")/functions.sh"

serve size=4M max-memory=8M control=control
python <<'END'
from controltest import *
all, some, c = Control(), Control(), Control()
KINDS = ["created", "destroyed", "resized", "cloned", "replaced", "set",
         "quota", "memory_low"]
check("all", all.call("subscribe"), {"events": KINDS})
check("some", some.call("subscribe", events=["resized", "destroyed"]),
      {"events": ["destroyed", "resized"]})

def expect(client, event, **params):
    e = client.event()
    now = e.pop("time")
    if abs(time.time() - now) > 600:
        raise SystemExit("FAIL: time %r" % now)
    check(event, e, dict(params, event=event))

c.call("disk_create", name="a", size=4096)
c.call("disk_resize", name="a", size=8192)
c.call("disk_clone", source="a", name="b")
c.call("disk_clone", source="a", name="b", if_exists="replace")
c.call("disk_create", name="b", size=0, if_exists="replace")
c.call("disk_create", name="b", size=1, if_exists="ignore")
c.call("disk_set", name="a", quota=4096)
c.call("disk_set", name="a")
c.call("disk_destroy", name="b")
c.refused("ENOENT", "no disk", "disk_destroy", name="b")

expect(all, "created", name="a", size=4096)
expect(all, "resized", name="a", size=8192, old_size=4096)
expect(all, "cloned", name="b", source="a", size=8192)
expect(all, "replaced", name="b", source="a", size=8192)
expect(all, "replaced", name="b", source=None, size=0)
expect(all, "set", name="a", readonly=False, quota=4096)
expect(all, "destroyed", name="b")
expect(some, "resized", name="a", size=8192, old_size=4096)
expect(some, "destroyed", name="b")

# A probe comes and goes.
h = connect("probe")
expect(all, "created", name="probe", size=4 * MiB)
h.shutdown()
expect(all, "destroyed", name="probe")
expect(some, "destroyed", name="probe")

# The quota: one event a second at the most, however often it is met.
h = connect("a")
h.pwrite(bytes(b"x") * 4096, 0)
for i in range(200):
    refused("over the quota", errno.ENOSPC, h.pwrite, b"x", 4096)
expect(all, "quota", name="a", quota=4096, owned=4096)
n = c.call("stats", name="a")["disks"][0]["enospc_quota"]
check("each is counted", n, 200)

# Memory.
check("change of mind", some.call("subscribe", events=["memory_low"]),
      {"events": ["memory_low"]})
all.call("subscribe", events=[])
h = connect("m")
h.pwrite(b"x" * (3 * MiB), 0)
h2 = connect("m2")
h2.pwrite(b"x" * (4 * MiB), 0)
h3 = connect("m3")
h3.pwrite(b"x" * (512 * KiB), 0)
e = some.event()
check("memory is low", (e["event"], e["limit"], e["used"] > 7 * MiB),
      ("memory_low", 8 * MiB, True))
late = Control()
late.call("subscribe")
check("who comes later hears of it too", late.event()["event"], "memory_low")
check("none were left", [e for e in all.events if e["event"] != "quota"], [])
END
