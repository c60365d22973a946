#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The promises of the devices that mramdisk descends from, one by one, on one
# server: connect, create, destroy, resize, get_info, seek_mapped and
# seek_unmapped, read and write, flush.  Other tests examine each in detail.

. "$(dirname "$0")/../functions.sh"

serve control=control max-memory=64M disk=given,size=1M,sector-size=512
python <<'END'
from controltest import *
c = Control()

# connect ~name: two connects with one name give the same device.
a, b = connect("x"), connect("x")
a.pwrite(b"written by a", 1000)
check("connect twice", b.pread(12, 1000), b"written by a")
# connect ~name: an unknown name makes an empty device of 32768 sectors of 512
check("connect unknown", connect("new").get_size(), 32768 * 512)
check("connect unknown: empty", extents(connect("new")),
      [(32768 * 512, "hole")])

# create ~name ~size_sectors ~sector_size: on the command line or the socket.
check("create by disk=", (connect("given").get_size(),
      connect("given").get_block_size(nbd.SIZE_MINIMUM)), (1 * MiB, 512))
c.call("disk_create", name="made", size=3 * 4096, sector_size=4096)
h = connect("made")
check("create by the socket", (h.get_size(),
      h.get_block_size(nbd.SIZE_MINIMUM)), (3 * 4096, 4096))

# destroy ~name: later connects get a fresh empty device.
c.call("disk_destroy", name="x")
fresh = connect("x")
check("destroy: a fresh one", extents(fresh), [(16 * MiB, "hole")])
check("destroy: who is connected keeps the old", a.pread(12, 1000),
      b"written by a")

# resize t n: later get_info shows the new size.
c.call("disk_resize", name="given", size=2 * MiB)
check("resize", connect("given").get_size(), 2 * MiB)

# get_info: read_write, sector_size, size_sectors.
c.call("disk_set", name="given", readonly=True)
h = connect("given")
check("get_info in the handshake", (h.is_read_only(),
      h.get_block_size(nbd.SIZE_MINIMUM), h.get_size()), (1, 512, 2 * MiB))
i = c.info("given")
check("get_info on the socket", (i["readonly"], i["sector_size"], i["size"]),
      (True, 512, 2 * MiB))

# seek_mapped, seek_unmapped: at 4 KiB.
fresh.pwrite(b"x", 5 * PAGE + 17)
fresh.zero(PAGE, 7 * PAGE, nbd.CMD_FLAG_NO_HOLE)
check("seek_mapped", extents(fresh), [(5 * PAGE, "hole"), (PAGE, "data"),
      (PAGE, "hole"), (PAGE, "zero"), (16 * MiB - 8 * PAGE, "hole")])
check("seek_mapped on the socket",
      [(e["length"], e["type"]) for e in
       c.call("disk_extents", name="x")["extents"]], extents(fresh))

# read, write: whole sectors; Is_read_only.
refused("Is_read_only", errno.EPERM, h.pwrite, bytes(512), 0)
refused("part of a sector", errno.EINVAL, h.pread, 100, 0)
check("read", h.pread(512, 0), bytes(512))

# flush is a no-op.
check("flush", (fresh.can_flush(), fresh.can_fua(), fresh.can_multi_conn()),
      (1, 1, 1))
fresh.flush()
END
