#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The export list contains each disk, with its size and what is mapped.

. "$(dirname "$0")/../functions.sh"

step "in order, with descriptions, and the default export"
serve size=1M disk=b,size=3G disk=a,size=5000 disk=ro,size=1536M,readonly=yes
python <<'END'
b = connect("b")
b.pwrite(pattern(5 * PAGE), 10 * PAGE)
b.pwrite(b"x", 2 * GiB)
made = connect("made")
got = names()
check("exports", list(got), ["a", "b", "made", "ro", ""])
check("a", got["a"], "~4.9K RAM disk, 0 mapped")
check("b", got["b"], "3G RAM disk, 24K mapped")
check("made", got["made"], "1M RAM disk, 0 mapped")
check("ro", got["ro"], "~1.5G RAM disk, 0 mapped, read-only")
check("the default export has no disk yet", got[""], "")

# The same text comes with an export.
def setup(h):
    h.set_full_info(True)
h = connect("b", setup=setup)
check("description", without_uuid(h.get_export_description()), "3G RAM disk, 24K mapped")
check("canonical name", h.get_canonical_export_name(), "b")
b.trim(3 * GiB - 1 * MiB, 0)
check("after a trim", names()["b"], "3G RAM disk, 0 mapped")
END
stop_server s

step "an empty list"
serve auto-create=no disk=only
python <<'END'
check("exports", names(), {"only": "16M RAM disk, 0 mapped"})
END
stop_server s

step "more disks than nbdkit's list takes: the first 10000"
for ((i = 0; i < 10001; i++)); do echo "disk=$i,size=1M"; done >disks
mapfile -t disks <disks
serve "${disks[@]}"
python <<'END'
got = names()
check("how many", len(got), 10000)
check("the first and the last", (list(got)[0], list(got)[-1]),
      ("0", sorted(map(str, range(10001)))[9999]))
check("one that is not in the list", connect("9999").get_size(), 1 * MiB)
END
