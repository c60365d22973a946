#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk with readonly=yes announces that, and refuses writes.

. "$(dirname "$0")/../functions.sh"

serve disk=ro,size=1M,readonly=yes disk=rw,size=1M,readonly=no
python <<'END'
h = connect("ro")
check("read-only flag", h.is_read_only(), True)
check("read", h.pread(512, 0), bytes(512))
for what, fn in (("write", lambda: h.pwrite(b"x", 0)),
                 ("zero", lambda: h.zero(4096, 0)),
                 ("trim", lambda: h.trim(4096, 0))):
    refused(what, errno.EPERM, fn)
check("extents", extents(h), [(1 * MiB, "hole")])
check("the other disk", connect("rw").is_read_only(), False)
connect("rw").pwrite(b"x", 0)
check("description", names()["ro"], "1M RAM disk, 0 mapped, read-only")
END
