#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk_list and stats return pages in the order of names, also for 10,000 disks;
# a disk that exists all the time is listed exactly once.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control max-memory=256M
python <<'END'
from controltest import *
c = Control()
check("of none", c.call("disk_list"), {"disks": [], "next": None})
c.call("disk_create", name="gold", size=1 << 30)
connect("gold").pwrite(b"x" * (4 * MiB), 0)
before = c.call("stats")["arena"]["used"]
for i in range(10000):
    c.call("disk_clone", source="gold", name="d%05d" % i)
check("clones take nothing before the first write",
      c.call("stats")["arena"]["used"], before)
everything = ["d%05d" % i for i in range(10000)] + ["gold"]
check("names", c.names() == everything, True)
check("100 without limit", len(c.call("disk_list")["disks"]), 100)
p = c.call("disk_list", after="d00099", limit=2)
check("a page", ([d["name"] for d in p["disks"]], p["next"]),
      (["d00100", "d00101"], "d00101"))
check("after a name that is not there", c.call("disk_list", after="d00099x",
      limit=1)["next"], "d00100")
p = c.call("disk_list", after="d09998", limit=2)
check("the last page", ([d["name"] for d in p["disks"]], p["next"]),
      (["d09999", "gold"], None))
check("after the last", c.call("disk_list", after="gold")["disks"], [])
p = c.call("stats", after="d00099", limit=3)
check("stats", ([d["name"] for d in p["disks"]], p["next"]),
      (["d00100", "d00101", "d00102"], "d00102"))

# Disks come and go between the pages.
seen, after = [], {}
while True:
    p = c.call("disk_list", limit=500, **after)
    seen += [d["name"] for d in p["disks"]]
    if p["next"] is None:
        break
    after = {"after": p["next"]}
    c.call("disk_destroy", name=p["next"])
    c.call("disk_create", name=p["next"] + "+")
check("each once", sorted(set(seen)) == sorted(seen), True)
check("none is missing", set(everything) <= set(seen), True)
check("10,001 connections could be made", connect("d00500").get_size(),
      1 << 30)
END
