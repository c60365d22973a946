#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# fio writes from several jobs and verifies what it reads.

. "$(dirname "$0")/../functions.sh"

requires_fio
serve size=64M

# Each job has its own part of the disk, and its own connection.
cat >job <<END
[global]
ioengine=nbd
uri=nbd+unix:///d?socket=$sock
size=8m
iodepth=16
verify=crc32c
verify_fatal=1
serialize_overlap=1
[small]
rw=randrw
bs=4k
offset=0
[bytes]
rw=randwrite
bsrange=512-64k
bs_unaligned=1
offset=8m
[large]
rw=write
bs=256k
offset=16m
[random]
rw=randwrite
bs=4k
offset=24m
[mixed]
rw=randrw
bsrange=1k-128k
offset=32m
END
fio --output=out job || fail "fio: $(cat out)"
check "jobs without errors" "$(grep -c 'err= 0' out)" 5
python <<'END'
h = connect("d")
check("all that random wrote is mapped", extents(h, 8 * MiB, 24 * MiB),
      [(8 * MiB, "data")])
check("beyond the jobs is a hole", extents(h, 24 * MiB, 40 * MiB),
      [(24 * MiB, "hole")])
END
