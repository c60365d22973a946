#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Flush, FUA and cache are offered and change nothing.

. "$(dirname "$0")/../functions.sh"

serve size=1M
python <<'END'
h = connect("d")
check("can_flush, can_fua, can_cache",
      (h.can_flush(), h.can_fua(), h.can_cache()), (True, True, True))
h.flush()
h.pwrite(b"one", 0, nbd.CMD_FLAG_FUA)
h.zero(4096, 4096, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
h.trim(4096, 8192, nbd.CMD_FLAG_FUA)
h.flush()
before = extents(h)
h.cache(1 * MiB, 0)
h.cache(1, 4095)
h.flush()
check("extents", extents(h), before)
check("content", h.pread(4, 0), b"one\0")
END
