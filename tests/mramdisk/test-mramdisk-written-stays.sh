#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk that was written to stays after its last close.

. "$(dirname "$0")/../functions.sh"

serve size=1M
python <<'END'
import time

def use(name, fn):
    h = connect(name)
    fn(h)
    h.shutdown()

use("write", lambda h: h.pwrite(b"x", 1000))
use("zero", lambda h: h.zero(4096, 0, nbd.CMD_FLAG_NO_HOLE))
use("zeros", lambda h: h.pwrite(bytes(65536), 0))
use("hole", lambda h: h.zero(1 * MiB, 0))
use("looked", lambda h: h.pread(1, 1000))
for i in range(1000):
    if "looked" not in names():
        break
    time.sleep(0.01)
check("exports", sorted(names()), ["", "hole", "write", "zero", "zeros"])
check("content", connect("write").pread(3, 999), b"\0x\0")
check("extents", extents(connect("zero"))[0], (4096, "zero"))

# Another look does not take it away.
use("write", lambda h: h.pread(1, 1000))
time.sleep(0.1)
check("content", connect("write").pread(3, 999), b"\0x\0")

# It stays although everything in it was trimmed: it was named by its user.
use("write", lambda h: h.trim(1 * MiB, 0))
time.sleep(0.1)
check("exports", sorted(names()), ["", "hole", "write", "zero", "zeros"])
END

stop_server s

step "detect-zeroes, and a copy of an image that is all zeros"
requires nbdcopy
serve size=1M detect-zeroes=yes
python <<'END'
h = connect("detected")
h.pwrite(bytes(65536), 0)
h.shutdown()
END
truncate -s 1M image
nbdcopy image "$(uri copied)"
python <<'END'
check("exports", sorted(names()), ["", "copied", "detected"])
check("mapped", (mapped(connect("copied")), mapped(connect("detected"))),
      (0, 0))
END
