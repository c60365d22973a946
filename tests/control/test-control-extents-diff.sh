#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk_extents and disk_diff report where a disk has data, whether that is
# shared, and where two disks differ, in pages of any size.

. "$(dirname "$0")/../functions.sh"

serve size=64M control=control
python <<'END'
from controltest import *
c = Control()
def ext(name, **params):
    r, at = [], params.pop("offset", 0)
    while at is not None:
        p = c.call("disk_extents", name=name, offset=at, **params)
        check("not over the limit", len(p["extents"]) <=
              params.get("limit", 1000), True)
        r += [(e["offset"], e["length"], e["type"]) +
              ((e["shared"],) if "shared" in e else ())
              for e in p["extents"]]
        at = p["next"]
    return r

def diff(a, b, **params):
    r, at = [], params.pop("offset", 0)
    while at is not None:
        p = c.call("disk_diff", a=a, b=b, offset=at, **params)
        r += [(e["offset"], e["length"]) +
              ((e["type"],) if "type" in e else ()) for e in p["extents"]]
        at = p["next"]
    return r

h = connect("a")
h.pwrite(b"x" * (2 * PAGE), PAGE)
h.zero(PAGE, 5 * PAGE, nbd.CMD_FLAG_NO_HOLE)
h.pwrite(b"y" * PAGE, 32 * MiB)
want = [(0, PAGE, "hole"), (PAGE, 2 * PAGE, "data"),
        (3 * PAGE, 2 * PAGE, "hole"), (5 * PAGE, PAGE, "zero"),
        (6 * PAGE, 32 * MiB - 6 * PAGE, "hole"), (32 * MiB, PAGE, "data"),
        (32 * MiB + PAGE, 32 * MiB - PAGE, "hole")]
check("extents", ext("a"), want)
check("one at a time", ext("a", limit=1), want)
check("from the middle of one", ext("a", offset=PAGE + 5)[0],
      (PAGE + 5, 2 * PAGE - 5, "data"))
p = c.call("disk_extents", name="a", offset=PAGE, length=3 * PAGE)
check("a range", (p["extents"], p["next"]),
      ([{"offset": PAGE, "length": 2 * PAGE, "type": "data"},
        {"offset": 3 * PAGE, "length": PAGE, "type": "hole"}], None))
check("of nothing", c.call("disk_extents", name="a", offset=64 * MiB),
      {"extents": [], "next": None})

check("nothing is shared", [e for e in ext("a", sharing=True) if len(e) > 3],
      [(PAGE, 2 * PAGE, "data", False), (32 * MiB, PAGE, "data", False)])
c.call("disk_clone", source="a", name="b")
k = connect("b")
k.pwrite(b"z", 2 * PAGE)
k.pwrite(b"z", 10 * PAGE)
check("the clone shares", [e for e in ext("b", sharing=True) if len(e) > 3],
      [(PAGE, PAGE, "data", True), (2 * PAGE, PAGE, "data", False),
       (10 * PAGE, PAGE, "data", False), (32 * MiB, PAGE, "data", True)])
i = c.info("b")
check("in bytes", (i["mapped"], i["exclusive"], i["shared"]),
      (4 * PAGE, 2 * PAGE, 2 * PAGE))

check("diff", diff("a", "b"), [(2 * PAGE, PAGE), (10 * PAGE, PAGE)])
check("the other way", diff("b", "a", limit=1), [(2 * PAGE, PAGE),
                                                 (10 * PAGE, PAGE)])
check("of itself", diff("a", "a"), [])
check("from an offset", diff("a", "b", offset=3 * PAGE), [(10 * PAGE, PAGE)])
check("past both", diff("a", "b", offset=1 << 40), [])
# What the second one has there, also beyond its end.
c.call("disk_clone", source="a", name="t")
t = connect("t")
t.pwrite(b"t" * PAGE, 0)
t.zero(PAGE, PAGE, nbd.CMD_FLAG_NO_HOLE)
t.trim(PAGE, 2 * PAGE)
t.pwrite(b"t", 3 * PAGE)
want = [(0, PAGE, "data"), (PAGE, PAGE, "zero"), (2 * PAGE, PAGE, "hole"),
        (3 * PAGE, PAGE, "data")]
for limit in 1, 2, 1000:
    check("types", diff("a", "t", types=True, limit=limit), want)
check("the other way", diff("t", "a", types=True),
      [(0, PAGE, "hole"), (PAGE, 2 * PAGE, "data"), (3 * PAGE, PAGE, "hole")])
c.call("disk_create", name="short", size=2 * PAGE + 100)
connect("short").pwrite(b"s" * 50, 2 * PAGE)
c.call("disk_create", name="wide", size=2 * 65536, sector_size=65536)
connect("wide").pwrite(b"w" * 65536, 0)
for limit in 1, 1000:
    check("a smaller one", diff("a", "short", types=True, limit=limit),
          [(PAGE, PAGE, "hole"), (2 * PAGE, PAGE, "data"),
           (32 * MiB, PAGE, "hole")])
    check("wide sectors", diff("t", "wide", types=True, limit=limit),
          [(0, 65536, "data"), (32 * MiB, PAGE, "hole")])
for name in "t", "short", "wide":
    c.call("disk_destroy", name=name)
k.pwrite(b"x" * PAGE, 2 * PAGE)
check("the same bytes are no difference", diff("a", "b"), [(10 * PAGE, PAGE)])
# Every other page of 8 MiB, so that there are many.
for n in range(0, 2048, 2):
    k.pwrite(b"d", 40 * MiB + n * PAGE)
many = [(40 * MiB + n * PAGE, PAGE) for n in range(0, 2048, 2)]
check("many", diff("a", "b", offset=11 * PAGE, limit=100), many)
check("in one", diff("a", "b", offset=11 * PAGE, limit=10000), many)
c.call("disk_resize", name="b", size=32 * MiB + 100)
check("of different sizes", diff("a", "b", offset=11 * PAGE),
      [(32 * MiB, PAGE)])
END
