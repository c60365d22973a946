#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The mirror: what is there is copied, but no holes; what clients change goes to
# both sides; of any size, and with blocks of any size.

. "$(dirname "$0")/../mirror-functions.sh"

step "the first copy sends what is mapped"
start_server u "$mramdisk" size=1G
start_server d "$mramdisk" size=1G
mirror_seed ()
{
  nbdsh -u "$(uri '' "$1")" -c '
import random
random.seed(1)
for i in range(40):
    h.pwrite(random.randbytes(65536), i * 25 * 1024 * 1024 + i * 4096)
h.pwrite(b"end", h.get_size() - 3)'
}
mirror_seed d
# mnbd beneath: its disk has content before the mirror begins.
start_mirror "$builddir/mnbd.so" socket="$tmp/d.sock"
mirror <<'END'
s = synchronised()
mapped = 40 * 65536 + 4096
check("sent", mapped <= s["bytes_sent"] <= mapped * 1.02, True)
check("zeroed", s["bytes_zeroed"], 0)
check("total", s["bytes_total"], GiB)
h = connect(server="u")
check("data", sum(n for n, t in extents(h) if t == "data") <= mapped * 1.02,
      True)
same()
same("s", "d")
END

step "changes go to both sides"
mirror <<'END'
import random
random.seed(2)
h = connect()
for i in range(300):
    n = random.randrange(1, 300000)
    offset = random.randrange(h.get_size() - n)
    kind = random.randrange(6)
    if kind == 0:
        h.zero(n, offset, nbd.CMD_FLAG_NO_HOLE if i % 2 else 0)
    elif kind == 1:
        h.trim(n, offset)
    else:
        h.pwrite(random.randbytes(n), offset,
                 nbd.CMD_FLAG_FUA if i % 50 == 2 else 0)
h.flush()
check("state", status()["state"], "synchronised")
check("writes", status()["writes"], 300)
same()
END
stop_server s

step "old content of the secondary goes"
start_mirror "$mramdisk" 1G
mirror <<'END'
s = synchronised()
check("sent", s["bytes_sent"], 0)
check("zeroed", s["bytes_zeroed"] > 0, True)
same()
END
stop_server s
stop_server d
stop_server u

for size in 1 511 65537 2097153 5000001; do
  step "a disk of $size bytes"
  start_server u "$mramdisk" size=$size
  start_mirror "$mramdisk" size=$size
  mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"\1" * h.get_size(), 0)
same()
h.pwrite(b"x", h.get_size() - 1)
check("state", status()["state"], "synchronised")
same()
END
  stop_server s
  stop_server u
done

# sectors N: the parameter for mramdisk, whose default is 1.
sectors ()
{
  [ $1 = 1 ] || echo sector-size=$1
}

# The sectors of the primary, of the secondary.
for both in "1 4096" "512 65536" "4096 1" "65536 512"; do
  set -- $both
  step "sectors of $1 bytes here, of $2 there"
  start_server u "$mramdisk" size=4M $(sectors $2)
  start_mirror "$mramdisk" size=4M $(sectors $1)
  export sector=$1
  mirror <<'END'
import random
random.seed(3)
synchronised()
h = connect()
sector = int(os.environ["sector"])
for i in range(200):
    n = random.randrange(1, 40000 // sector + 2) * sector
    offset = random.randrange((h.get_size() - n) // sector + 1) * sector
    if i % 5 == 0:
        h.zero(n, offset)
    elif i % 7 == 0:
        h.trim(n, offset)
    else:
        h.pwrite(random.randbytes(n), offset)
check("state", status()["state"], "synchronised")
same()
END
  stop_server s
  stop_server u
done

step "over nbdkit's file plugin, and with filters above and below"
truncate -s 3M disk.img
printf 'begin' | dd of=disk.img conv=notrunc bs=1 seek=1000000 2>dd.err
start_server u "$mramdisk" size=3M
start_server s --filter=stats --filter="$filter" --filter=log file disk.img \
  statsfile=stats.txt logfile=log.txt mnbd-socket="$tmp/u.sock" \
  mnbd-mode=mirror mnbd-control=control
mirror <<'END'
synchronised()
h = connect()
check("there", bytes(connect(server="u").pread(5, 1000000)), b"begin")
h.pwrite(b"q" * 100000, 77)
h.zero(50000, 5000)
h.flush()
same()
END
stop_server s
stop_server u

step "one mirror for each export, with names"
start_server u "$mramdisk" size=1M disk=a,size=2M disk=b,size=3M
start_server s --filter="$filter" "$mramdisk" size=1M disk=a,size=2M \
  disk=b,size=3M disk=c,size=4M mnbd-socket="$tmp/u.sock" mnbd-mode=mirror \
  mnbd-dynamic-export=true mnbd-exports='[ab]' mnbd-control=control
mirror <<'END'
check("no client, no mirror", control.call("mirror_status")["mirrors"], [])
for name in ("a", "b", "c"):
    connect(name).pwrite(name.encode() * 5000, 70000)
check("mirrors", sorted(m["export"] for m in
                        control.call("mirror_status")["mirrors"]), ["a", "b"])
for name in ("a", "b"):
    while control.call("mirror_status", export=name)["mirrors"][0][
            "state"] != "synchronised":
        time.sleep(0.02)
    same(name=name)
control.refused("ENOENT", 'export: there is no mirror of export "c"',
                "mirror_status", export="c")
control.refused("ENOENT", "expected the name of one", "mirror_stop")
check("stopped", control.call("mirror_stop", export="b")["consistent"], True)
END
