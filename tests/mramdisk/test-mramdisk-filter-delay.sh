#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Under the delay filter, a request that need not wait overtakes one that does.

. "$(dirname "$0")/../functions.sh"

requires_filter delay
start_server s --filter=delay "$mramdisk" size=1M delay-write=3
python <<'END'
h = connect("d")
data = nbd.Buffer.from_bytearray(bytearray(pattern(PAGE)))
buf = nbd.Buffer(PAGE)
order = []
write = h.aio_pwrite(data, 0, lambda e: order.append("write") or 1)
read = h.aio_pread(buf, 0, lambda e: order.append("read") or 1)
while h.aio_in_flight() > 0:
    h.poll(-1)
check("order of the answers", order, ["read", "write"])
check("the read came before the write", bytes(buf.to_bytearray()), bytes(PAGE))
check("and then it was written", h.pread(PAGE, 0), pattern(PAGE))
END
