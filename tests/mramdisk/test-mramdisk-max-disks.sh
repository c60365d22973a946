#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# max-disks= limits the number of disks.

. "$(dirname "$0")/../functions.sh"

requires nbdinfo
serve size=1M max-disks=3 disk=given
python <<'END'
import time

a, b = connect("a"), connect("b")
refused("a fourth disk", None, connect, "c")
check("disks that exist can be opened", connect("given").get_size(),
      1 * MiB)
check("a second connection to a", connect("a").get_size(), 1 * MiB)

# a goes, because nothing was written there, and makes room.
b.pwrite(b"b", 0)
a.shutdown()
b.shutdown()
for i in range(1000):
    if "a" not in names():
        break
    time.sleep(0.01)
c = connect("c")
check("c", c.get_size(), 1 * MiB)
refused("a fifth", None, connect, "d")
check("the list has no default disk that cannot be made", list(names()),
      ["b", "c", "given"])
check("b stayed", connect("b").pread(1, 0), b"b")
END
grep -q 'export "c": there are max-disks=3 disks already' s.log ||
  fail "the log does not say why c was refused"
stop_server s

step "what is listed can be opened, where only one disk more can be made"
serve size=1M max-disks=2 disk=given
check "the list" "$(nbd_list "$(uri)" | sort)" $'""\n"given"'
python <<'END'
connect("a").pwrite(b"a", 0)
END
check "the list, full" "$(nbd_list "$(uri)" | sort)" $'"a"\n"given"'
