#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each method of the control socket does what the reference says.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control
python <<'END'
from controltest import *
c = Control()
MADE = {"name": "a", "created": True, "replaced": False}

v = c.call("version")
check("version", (v["name"], v["protocol"]), ("mramdisk", 1))

check("methods", [m["name"] for m in c.call("help")["methods"]],
      ["version", "help", "disk_create", "disk_destroy", "disk_resize",
       "disk_clone", "disk_set", "disk_rename", "disk_reset", "disk_list",
       "disk_info", "disk_extents", "disk_diff", "disk_deleted",
       "client_list", "client_disconnect", "disk_clone_together",
       "disk_push", "disk_pull", "disk_save", "disk_load",
       "job_list", "job_wait", "job_cancel",
       "stats", "subscribe"])
check("help of one", [m["name"] for m in
      c.call("help", method="disk_set")["methods"]], ["disk_set"])

check("create", c.call("disk_create", name="a"), MADE)
check("size is that of size=", c.info("a")["size"], 1 * MiB)
check("create, ignore", c.call("disk_create", name="a", if_exists="ignore"),
      {"name": "a", "created": False, "replaced": False})
check("create, replace", c.call("disk_create", name="a", size=2 * MiB,
      sector_size=4096, readonly=True, quota=PAGE, if_exists="replace"),
      {"name": "a", "created": True, "replaced": True})
uuid = c.info("a")["uuid"]
check("UUID", re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]"
                           "[0-9a-f]{3}-[0-9a-f]{12}", uuid) is not None, True)
check("info", c.info("a"),
      {"name": "a", "uuid": uuid, "size": 2 * MiB, "sector_size": 4096, "readonly": True,
       "quota": PAGE, "mapped": 0, "connections": 0, "exclusive": 0,
       "shared": 0, "owned": 0, "parent": None, "parent_exists": False,
       "origin": None})

check("set", c.call("disk_set", name="a", readonly=False),
      {"name": "a", "readonly": False, "quota": PAGE})
check("set quota", c.call("disk_set", name="a", quota=5),
      {"name": "a", "readonly": False, "quota": 5})
check("remove quota", c.call("disk_set", name="a", quota=None),
      {"name": "a", "readonly": False, "quota": None})
check("set nothing", c.call("disk_set", name="a"),
      {"name": "a", "readonly": False, "quota": None})

check("resize", c.call("disk_resize", name="a", size=1 * MiB),
      {"name": "a", "size": 1 * MiB, "old_size": 2 * MiB})
check("clone", c.call("disk_clone", source="a", name="b"),
      {"name": "b", "created": True, "replaced": False})
listed = c.call("disk_list")
uuids = [d.pop("uuid") for d in listed["disks"]]
check("a resize keeps the UUID; a clone has its own",
      [uuids[0] == uuid, uuids[1] == uuid], [True, False])
check("list", listed,
      {"disks": [{"name": n, "size": 1 * MiB, "sector_size": 4096,
                  "readonly": False, "quota": None, "mapped": 0,
                  "owned": 0, "connections": 0, "origin": None,
                  "parent": "a" if n == "b" else None,
                  "parent_exists": n == "b"} for n in "ab"], "next": None})
check("reset", c.call("disk_reset", name="b"), {"name": "b", "parent": "a"})
check("rename", c.call("disk_rename", name="a", new_name="A"),
      {"name": "A", "old_name": "a"})
check("parent", c.info("b")["parent"], "A")
c.call("disk_rename", name="A", new_name="a")
check("clients", c.call("client_list"), {"clients": [], "next": None})
check("deleted", c.call("disk_deleted"), {"disks": [], "next": None})
check("extents", c.call("disk_extents", name="a"),
      {"extents": [{"offset": 0, "length": 1 * MiB, "type": "hole"}],
       "next": None})
check("diff", c.call("disk_diff", a="a", b="b"), {"extents": [], "next": None})
s = c.call("stats")
check("stats", (s["arena"]["disks"], s["arena"]["clients"], len(s["disks"]),
      s["next"]), (2, 1, 2, None))
check("subscribe", c.call("subscribe", events=["set"]), {"events": ["set"]})
check("destroy", c.call("disk_destroy", name="b"), {"name": "b"})
check("names", c.names(), ["a"])
END
