#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each error of each method, with its code, its errno and one clear line.

. "$(dirname "$0")/../functions.sh"

serve size=1M max-size=1G max-disks=3 max-memory=4M control=control   disk=a disk=b
python <<'END'
from controltest import *
c = Control()

for method, params in [("disk_destroy", {}), ("disk_resize", {"size": 0}),
                       ("disk_set", {"quota": 1}), ("disk_info", {}),
                       ("disk_extents", {}), ("stats", {}),
                       ("disk_rename", {"new_name": "y"}), ("disk_reset", {}),
                       ("client_list", {})]:
    c.refused("ENOENT", 'name: there is no disk "x"', method, name="x",
              **params)
c.refused("ENOENT", 'source: there is no disk "x"', "disk_clone", source="x",
          name="y")
c.refused("ENOENT", 'a: there is no disk "x"', "disk_diff", a="x", b="a")
c.refused("ENOENT", 'b: there is no disk "x"', "disk_diff", a="a", b="x")

c.refused("EEXIST", 'there is a disk "a" already', "disk_create", name="a")
c.refused("EEXIST", 'there is a disk "b" already', "disk_clone", source="a",
          name="b")

c.refused("EEXIST", 'new_name: there is a disk "b" already', "disk_rename",
          name="a", new_name="b")
c.refused("ENOENT", "id: there is no client 4711", "client_disconnect",
          id=4711)
c.refused("ECHILD", 'the disk "a" has no parent: it is not a clone, or the disk '
          "it was cloned from is gone", "disk_reset", name="a")

c.refused("EINVAL", "size: 1000: expected a multiple of the sector size, 512",
          "disk_create", name="x", size=1000, sector_size=512)
check("create", c.call("disk_create", name="a", size=4096, sector_size=512,
      if_exists="replace")["replaced"], True)
c.refused("EINVAL", "size: 1000: expected a multiple of the sector size, 512",
          "disk_resize", name="a", size=1000)
c.refused("EINVAL", "expected a range in the disk", "disk_extents", name="a",
          offset=4097)
c.refused("EINVAL", "expected a range in the disk", "disk_extents", name="a",
          offset=1024, length=4096)
c.refused("EINVAL", "multiples of the sector size", "disk_extents", name="a",
          offset=1, length=511)

for method in "disk_create", "disk_resize":
    c.refused("EFBIG", "size: 1073741825: expected at most max-size=1073741824",
              method, name="b", size=(1 << 30) + 1,
              **({"if_exists": "replace"} if method == "disk_create" else {}))

c.call("disk_create", name="c")
c.refused("ENFILE", "there are max-disks=3 disks already", "disk_create",
          name="d")
c.refused("ENFILE", "there are max-disks=3 disks already", "disk_clone",
          source="a", name="d")
check("replace needs no more", c.call("disk_clone", source="a", name="c",
      if_exists="replace")["replaced"], True)

long = "x" * 4097
c.refused("ENAMETOOLONG", "expected at most 4096 bytes", "disk_create",
          name=long)
c.refused("ENAMETOOLONG", "new_name: \"xxx", "disk_rename", name="a",
          new_name=long)
c.refused("ENAMETOOLONG", "expected at most 4096 bytes", "disk_clone",
          source="a", name="é" * 2049)
c.refused("ENOENT", "there is no disk", "disk_destroy", name=long)

check("nothing has changed", c.names(), ["a", "b", "c"])
END
