#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# sector-size=: the size and each request are whole sectors.

. "$(dirname "$0")/../functions.sh"

step "the handshake tells the sector size, and EINVAL refuses what breaks it"
serve size=1M sector-size=512 disk=d4096,sector-size=4096 \
  disk=d65536,sector-size=65536
python <<'END'
for name, sector in ("new", 512), ("d4096", 4096), ("d65536", 65536):
    h = connect(name)
    check("minimum block", h.get_block_size(nbd.SIZE_MINIMUM), sector)
    check("preferred block", h.get_block_size(nbd.SIZE_PREFERRED),
          max(sector, 4096))
    check("maximum block", h.get_block_size(nbd.SIZE_MAXIMUM), MiB)
    whole, half = bytes(sector), bytes(sector // 2)
    h.pwrite(pattern(2 * sector), 0)
    for offset, count in ((0, 1), (1, sector), (sector - 1, 1),
                          (sector // 2, sector), (0, sector // 2),
                          (sector, sector + 1)):
        what = "%d bytes at %d of %s" % (count, offset, name)
        for op, fn in (("read", lambda: h.pread(count, offset)),
                       ("write", lambda: h.pwrite(bytes(count), offset)),
                       ("zero", lambda: h.zero(count, offset)),
                       ("trim", lambda: h.trim(count, offset))):
            refused(op + " of " + what, errno.EINVAL, fn)
    check("the content is as before", h.pread(2 * sector, 0),
          pattern(2 * sector))
    h.zero(sector, sector)
    check("whole sectors", h.pread(2 * sector, 0), pattern(sector) + whole)
    h.pwrite(pattern(sector, 2), h.get_size() - sector)
    check("the last sector", h.pread(sector, h.get_size() - sector),
          pattern(sector, 2))
END
stop_server s

step "without it any byte"
serve size=1M
python <<'END'
h = connect("new")
check("minimum block", h.get_block_size(nbd.SIZE_MINIMUM), 1)
check("preferred block", h.get_block_size(nbd.SIZE_PREFERRED), 4096)
h.pwrite(b"x", 511)
check("content", h.pread(3, 510), b"\0x\0")
END

step "a size that is no multiple is refused at the start"
refused_start "size=1000: expected a multiple of sector-size=512" \
  "$mramdisk" size=1000 sector-size=512
refused_start "disk=a,size=1000: expected a multiple of sector-size=512" \
  "$mramdisk" disk=a,size=1000,sector-size=512
