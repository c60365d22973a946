#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks up to 2^63-1 bytes work to their last byte.

. "$(dirname "$0")/../functions.sh"

serve size=9223372036854775807 disk=exa,size=1E disk=p,size=4503599627370506
python <<'END'
for name, size in (("new", 2 ** 63 - 1), ("exa", 2 ** 60),
                   ("p", 2 ** 52 + 10)):
    h = connect(name)
    check("size of " + name, h.get_size(), size)
    h.pwrite(b"end", size - 3)
    h.pwrite(b"begin", 0)
    middle = size // 2 // PAGE * PAGE + 100
    h.pwrite(b"middle", middle)
    check("last bytes", h.pread(5, size - 5), b"\0\0end")
    check("first bytes", h.pread(6, 0), b"begin\0")
    check("middle bytes", h.pread(8, middle - 1), b"\0middle\0")
    last = (size - 1) % PAGE + 1       # bytes in the last page
    check("extents at the end", extents(h, 3 * PAGE + last, size - last -
                                        3 * PAGE),
          [(3 * PAGE, "hole"), (last, "data")])
    check("extents in the middle",
          extents(h, 5 * PAGE, middle - 100 - 2 * PAGE),
          [(2 * PAGE, "hole"), (PAGE, "data"), (2 * PAGE, "hole")])
    h.zero(MiB, size - MiB)
    check("extents after a zero", extents(h, MiB, size - MiB),
          [(MiB, "hole")])
    refused("a read past the end", errno.EINVAL, h.pread, 2, size - 1)
    refused("a write past the end", errno.ENOSPC, h.pwrite, b"xx", size - 1)
END
