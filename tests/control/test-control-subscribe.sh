#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Events: each kind, with its values, in the order of the changes, for clients
# that subscribed to it.

. "$(dirname "$0")/../functions.sh"

serve size=4M max-memory=8M control=control
python <<'END'
from controltest import *
all, some, c = Control(), Control(), Control()
KINDS = ["created", "destroyed", "resized", "cloned", "replaced", "set",
         "quota", "renamed", "quota_low", "memory_low", "origin"]
check("all", all.call("subscribe"), {"events": KINDS})
# These come in between, once a second.
for seldom in "quota_low", "memory_low", "origin":
    KINDS.remove(seldom)
check("all changes", all.call("subscribe", events=KINDS), {"events": KINDS})
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

# An ephemeral disk comes and goes.
h = connect("ephemeral")
expect(all, "created", name="ephemeral", size=4 * MiB)
h.shutdown()
expect(all, "destroyed", name="ephemeral")
expect(some, "destroyed", name="ephemeral")

# The quota: one event a second at the most, however often it is met.
h = connect("a")
h.pwrite(bytes(b"x") * 4096, 0)
began = time.monotonic()
for i in range(200):
    refused("over the quota", errno.ENOSPC, h.pwrite, b"x", 4096)
most = int(time.monotonic() - began) + 1
n = c.call("stats", name="a")["disks"][0]["enospc_quota"]
check("each is counted", n, 200)

# A disk that has lost its name sends none under it, nor does one that comes
# after it hear of it.
c.call("disk_create", name="a", size=8192, if_exists="replace")
for events in range(most + 2):
    e = all.event()
    del e["time"]
    if e["event"] != "quota":
        break
    check("quota", e, {"event": "quota", "name": "a", "quota": 4096,
                       "owned": 4096})
if events == 0:
    raise SystemExit("FAIL: no event for the quota")
check("replaced", e, {"event": "replaced", "name": "a", "source": None,
                      "size": 8192})
time.sleep(1.1)                 # for the second that had its event
for i in range(3):
    refused("the old disk", errno.ENOSPC, h.pwrite, b"x", 4096)
c.call("disk_set", name="a", quota=0)
k = connect("a")
refused("the new disk", errno.ENOSPC, k.pwrite, b"x", 0)
expect(all, "set", name="a", readonly=False, quota=0)
expect(all, "quota", name="a", quota=0, owned=0)

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
late.call("subscribe", events=["memory_low"])
check("who comes later hears of it too", late.event()["event"], "memory_low")

# A quota of which little is left: once, until there was more.
low = Control()
low.call("subscribe", events=["quota_low"])
q = connect("q")
for name, pages in ("nine", 9), ("eight", 8), ("all", 10), ("none", 0):
    c.call("disk_create", name=name, size=MiB, quota=10 * 4096 if pages else 0)
    if pages:
        connect(name).pwrite(b"q" * pages * 4096, 0)
def lows(n):
    events = [low.event() for i in range(n)]
    return sorted((e["event"], e["name"], e["owned"], e["quota"])
                  for e in events)
nearly = [("quota_low", "all", 40960, 40960),
          ("quota_low", "nine", 36864, 40960)]
check("low", lows(2), nearly)
late.call("subscribe", events=["quota_low"])
check("who comes later", sorted(late.event()["name"] for i in range(2)),
      ["all", "nine"])
check("and the first again", lows(2), nearly)
h = connect("all")
h.trim(2 * 4096, 0)
c.call("disk_set", name="eight", quota=8 * 4096)
check("another one", lows(1), [("quota_low", "eight", 32768, 32768)])
h.pwrite(b"q" * 4096, 0)
check("again", lows(1), [("quota_low", "all", 36864, 40960)])
check("none were left", [e for e in all.events if e["event"] != "quota"], [])
END
