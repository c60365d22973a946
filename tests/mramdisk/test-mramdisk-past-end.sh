#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Beyond the end, a read gets EINVAL, a write or zero ENOSPC; nothing changes.

. "$(dirname "$0")/../functions.sh"

serve disk=d,size=10000 disk=empty,size=0
python <<'END'
h = connect("d")
data = pattern(10000)
h.pwrite(data, 0)
for offset, count in ((9999, 2), (10000, 1), (0, 10001), (2 ** 62, 1),
                      (2 ** 63 - 1, 1), (4096, 32 * MiB)):
    what = "%d bytes at %d" % (count, offset)
    refused("read of " + what, errno.EINVAL, h.pread, count, offset)
    refused("write of " + what, errno.ENOSPC, h.pwrite, bytes(count), offset)
    refused("zero of " + what, errno.ENOSPC, h.zero, count, offset)
    refused("trim of " + what, errno.EINVAL, h.trim, count, offset)
    refused("extents of " + what, errno.EINVAL, extents_once, h, count, offset)
check("the content is as it was", h.pread(10000, 0), data)
h.pwrite(b"x", 9999)
check("the last byte", h.pread(1, 9999), b"x")

h = connect("empty")
check("size of an empty disk", h.get_size(), 0)
refused("a read there", errno.EINVAL, h.pread, 1, 0)
refused("a write there", errno.ENOSPC, h.pwrite, b"x", 0)
END
