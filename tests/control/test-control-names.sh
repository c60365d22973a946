#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A name may be empty or long, and contain any character that NBD allows.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control disk=other
python <<'END'
from controltest import *
c = Control()
odd = ["", " ", "a b", "a,b", "/", "..", "\n", "\x01\x7f", '"', "\\", "é", "日本",
       "\U0001f4be", "x" * 4096, "é" * 2048, "%s", "-"]
def data(name):
    return (name or "empty").encode()[:100]
for name in odd:
    check("create", c.call("disk_create", name=name)["name"], name)
    connect(name).pwrite(data(name), 0)
    c.call("disk_clone", source=name, name=name, if_exists="replace")
    c.call("disk_resize", name=name, size=2 * MiB)
    check("info", c.info(name)["name"], name)
check("list", c.names(), sorted(odd + ["other"], key=lambda s: s.encode()))
for name in odd:
    check("content", connect(name).pread(len(data(name)), 0), data(name))
    check("destroy", c.call("disk_destroy", name=name)["name"], name)
# Messages are of one line, whatever the name.
c.refused("ENOENT", 'no disk "a\\x0ab"', "disk_destroy", name="a\nb")
c.refused(BAD_PARAMS, '"x\\x0ay"', "disk_list", **{"x\ny": 1})
END
stop_server s

# With default= the empty export name means another disk: none may be hidden.
serve size=1M control=control default=other disk=other
python <<'END'
from controltest import *
c = Control()
check("default=", connect("").get_size(), 1 * MiB)
c.refused(BAD_PARAMS, 'the empty name means "other"', "disk_create", name="")
c.refused(BAD_PARAMS, 'the empty name means "other"', "disk_clone",
          source="other", name="")
check("names", c.names(), ["other"])
END
