#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A hundred clients at once, and clients that are killed.

. "$(dirname "$0")/../functions.sh"

serve size=1M
python <<'END'
h = [connect("disk %d" % (i % 10)) for i in range(100)]
for i in range(100):
    h[i].pwrite(pattern(100, i), i * 100)
for i in range(100):
    check("connection %d" % i, h[(i + 10) % 100].pread(100, i * 100),
          pattern(100, i))
check("disks", len(names()), 11)
END

step "clients that are killed with requests in flight"
python >out 2>&1 <<'END' || :
import signal

h = [connect("disk %d" % i) for i in range(10)]
data = nbd.Buffer.from_bytearray(bytearray(pattern(MiB, 3)))
for c in h:
    for i in range(8):
        c.aio_pwrite(data, 0)
open("killed", "w").close()
os.kill(os.getpid(), signal.SIGKILL)
END
[ -e killed ] || fail "the clients did not get so far: $(cat out)"
python <<'END'
for i in range(10):
    h = connect("disk %d" % i)
    h.pwrite(pattern(MiB, 4), 0)
    check("disk %d" % i, h.pread(MiB, 0), pattern(MiB, 4))
END
