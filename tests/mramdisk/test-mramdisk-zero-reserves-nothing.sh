#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Zeroing a disk larger than max-memory takes no memory.

. "$(dirname "$0")/../functions.sh"

serve size=1E max-memory=1M
python <<'END'
h = connect("d")
h.zero(2 * GiB, 5 * LEAF)
h.zero(3 * GiB, 2 ** 50, nbd.CMD_FLAG_NO_HOLE)
check("zeros", extents(h, 5 * GiB, 2 ** 50 - GiB),
      [(GiB, "hole"), (3 * GiB, "zero"), (GiB, "hole")])
check("mapped", names()["d"], "1E RAM disk, 0 mapped")
END
