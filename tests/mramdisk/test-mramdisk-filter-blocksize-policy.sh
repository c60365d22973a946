#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The blocksize-policy filter can be stricter than the disk.

. "$(dirname "$0")/../functions.sh"

requires_filter blocksize-policy
start_server s --filter=blocksize-policy "$mramdisk" size=1M \
  blocksize-error-policy=error blocksize-minimum=512 \
  blocksize-preferred=64K blocksize-maximum=1M
python <<'END'
h = connect("d")
check("block sizes", tuple(h.get_block_size(i) for i in
                           (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED,
                            nbd.SIZE_MAXIMUM)), (512, 64 * KiB, MiB))
refused("a byte", errno.EINVAL, h.pwrite, b"x", 0)
h.pwrite(pattern(512), 512)
check("a sector", h.pread(1024, 0), bytes(512) + pattern(512))
END
