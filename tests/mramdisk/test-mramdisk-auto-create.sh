#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# auto-create=no: only the disks of the command line exist.

. "$(dirname "$0")/../functions.sh"

serve auto-create=no disk=a,size=1M disk=b
python <<'END'
connect("a").pwrite(b"x", 0)
check("size of b", connect("b").get_size(), 16 * MiB)
for name in "c", "", "a ", "A":
    refused("open %r" % name, None, connect, name)
check("exports", sorted(names()), ["a", "b"])
check("a", connect("a").pread(1, 0), b"x")
END
grep -q 'export "c": there is no such disk, and auto-create=no' s.log ||
  fail "the log does not say why c was refused"
