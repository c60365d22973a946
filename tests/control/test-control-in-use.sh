#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With if_open=error a disk that clients have open is neither destroyed,
# replaced, reset nor shrunk, and the error says who they are.  client_list and
# disk_deleted say so too.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control
python <<'END'
from controltest import *
c = Control()

def in_use(method, **params):
    r = c.answer(method, name="a", if_open="error", **params)["error"]
    check(method, (r["code"], r["data"]["errno"], r["data"]["clients"]),
          (ERRORS["EBUSY"], "EBUSY", 2))
    me = "unix, pid %d, uid %d" % (os.getpid(), os.getuid())
    check("who", r["data"]["peers"], [me, me])
    check("message", r["message"], 'name: the disk "a" is in use by 2 clients '
          '(%s; %s)' % (me, me))

c.call("disk_create", name="m")
c.call("disk_clone", source="m", name="a")
h = [connect("a"), connect("a")]
h[0].pwrite(b"x" * 8192, 0)
in_use("disk_destroy")
in_use("disk_create", if_exists="replace")
in_use("disk_clone", source="m", if_exists="replace")
in_use("disk_reset")
in_use("disk_resize", size=MiB - 1)
# A dry run answers as the call would, and changes nothing.
for method in "disk_destroy", "disk_reset":
    in_use(method, dry_run=True)
    answer = c.call(method, name="a", dry_run=True)
    check("would " + method, answer["name"], "a")
check("its parent", answer["parent"], "m")
check("no disk", c.answer("disk_destroy", name="x",
      dry_run=True)["error"]["code"], ERRORS["ENOENT"])
check("no parent", c.answer("disk_reset", name="m",
      dry_run=True)["error"]["code"], ERRORS["ECHILD"])
r = c.answer("disk_set", name="a", quota=8191, if_exceeded="error",
             dry_run=True)["error"]
check("quota below use, dry", r["data"], {"errno": "EDQUOT", "owned": 8192})
check("settings", c.call("disk_set", name="a", quota=9999, readonly=True,
      dry_run=True), {"name": "a", "quota": 9999, "readonly": True})
check("not set", c.call("disk_set", name="a"),
      {"name": "a", "quota": None, "readonly": False})

check("growing", c.call("disk_resize", name="a", size=2 * MiB,
      if_open="error")["size"], 2 * MiB)
check("untouched", (c.names(), bytes(h[1].pread(4, 0))), (["a", "m"], b"xxxx"))

r = c.answer("disk_set", name="a", quota=8191, if_exceeded="error")["error"]
check("quota below use", (r["code"], r["data"]),
      (ERRORS["EDQUOT"], {"errno": "EDQUOT", "owned": 8192}))
check("no quota was set", c.info("a")["quota"], None)
check("just enough", c.call("disk_set", name="a", quota=8192,
      if_exceeded="error")["quota"], 8192)

# Who is there, in pages.
first = c.call("client_list", limit=1)
check("a page", (len(first["clients"]), first["next"]),
      (1, first["clients"][0]["id"]))
second = c.call("client_list", before=first["next"])
check("the rest", (len(second["clients"]), second["next"]), (1, None))
one = second["clients"][0]
check("of the other disk", c.call("client_list", name="m")["clients"], [])
check("client", {k: one[k] for k in ("disk", "deleted", "address", "pid", "uid",
      "errors", "bytes_read", "bytes_written")},
      {"disk": "a", "deleted": False, "address": "unix", "pid": os.getpid(),
       "uid": os.getuid(), "errors": 0, "bytes_read": 0, "bytes_written": 8192})
check("times", one["since"][:19] <= one["last_request"][:19], True)
check("none yet", [x["last_request"] for x in first["clients"]] != [None], True)

# A name may change while it is open; who is connected keeps the disk.
c.call("disk_rename", name="a", new_name="b")
h[1].pwrite(b"y", 1)
check("the same disk", bytes(connect("b").pread(3, 0)), b"xyx")
check("its clients", {x["disk"] for x in c.call("client_list")["clients"]
                      if x["bytes_written"]}, {"b"})

# By default it goes; what it takes is held by those who have it open.
c.call("disk_destroy", name="b")
d = c.call("disk_deleted")["disks"]
check("deleted", [(x["name"], x["owned"], sorted(y["pid"] for y in
      x["clients"])[:2]) for x in d], [("b", 8192, [os.getpid()] * 2)])
check("deleted client", {x["deleted"] for x in c.call("client_list")["clients"]},
      {True})
# By pages of any length.
for i in range(3):
    h.append(connect("gone%d" % i))
    h[-1].pwrite(b"x", 0)
    c.call("disk_destroy", name="gone%d" % i)
found, after = [], 0
while after is not None:
    page = c.call("disk_deleted", limit=3, after=after)
    found += [x["name"] for x in page["disks"]]
    after = page["next"]
check("by pages", sorted(found), ["b", "gone0", "gone1", "gone2"])
for x in h:
    x.shutdown()
c.wait("it goes with them", lambda: not c.call("disk_deleted")["disks"])
END
