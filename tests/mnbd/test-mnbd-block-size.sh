#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream's block sizes are announced to the client; misaligned requests
# get EINVAL, unless nbdkit's blocksize filter is above.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
requires_filter blocksize blocksize-policy

start_server u --filter=blocksize-policy memory 1M blocksize-minimum=512 \
  blocksize-preferred=4096 blocksize-maximum=64k blocksize-error-policy=error
start_forwarder socket="$tmp/u.sock"
cat >script <<'END'
h = connect()
check("minimum", h.get_block_size(nbd.SIZE_MINIMUM), 512)
check("preferred", h.get_block_size(nbd.SIZE_PREFERRED), 4096)
check("maximum", h.get_block_size(nbd.SIZE_MAXIMUM), 65536)
h.set_strict_mode(0)
refused("a short read", errno.EINVAL, h.pread, 100, 0)
refused("a shifted write", errno.EINVAL, h.pwrite, bytes(512), 1)
refused("a shifted zero", errno.EINVAL, h.zero, 512, 256)
refused("a short trim", errno.EINVAL, h.trim, 1, 0)
h.pwrite(pattern(512 * 1024), 512)
check("content", h.pread(512 * 1024, 512), pattern(512 * 1024))
END
python <script
stop_server s

step "with the blocksize filter"
start_forwarder --filter=blocksize socket="$tmp/u.sock" minblock=512
python <<'END'
h = connect()
h.set_strict_mode(0)
h.pwrite(b"abc", 1000)
check("content", h.pread(5, 999), pattern(512 * 1024)[487:488] + b"abc" +
      pattern(512 * 1024)[491:492])
END
