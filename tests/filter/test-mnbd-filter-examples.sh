#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The README's examples of the filter, with small disks on one machine:
# a running RAM disk moves to another server under its clients; a RAM tier over
# a slow disk.

. "$(dirname "$0")/../filter-functions.sh"
requires_filter delay
mblockctl=$builddir/mblockctl

step "a running RAM disk: a mirror in front of it, and a client that writes"
start_server old "$mramdisk" 64M
export MBLOCK_SOCKET=$tmp/control
python <<'END'
h = connect(server="old")
for i in range(0, 64, 4):
    h.pwrite(pattern(1 * MiB), i * MiB)
END
start_server new "$mramdisk" 64M
start_server s --filter="$filter" "$builddir/mnbd.so" socket="$tmp/old.sock" \
  mnbd="$(sock_of new)" mnbd-mode=mirror mnbd-control="$tmp/control"
"$mblockctl" mirror status >status
grep -Eq 'copying|synchronised' status || fail "$(cat status)"
python <<'END' &
r = __import__("random").Random(1)
h = connect()
n = 0
while not os.path.exists("enough") or n < 100:
    h.pwrite(bytes([r.randrange(256)]) * r.randrange(1, 70000),
             r.randrange(63 * MiB))
    n += 1
h.flush()
END
writer=$!
"$mblockctl" mirror start --wait >started
touch enough
wait $writer
"$mblockctl" mirror start --wait >started

step "stopped: the new one holds the same bytes"
"$mblockctl" mirror stop >stopped
grep -q 'the secondary is consistent' stopped || fail "$(cat stopped)"
stop_server s
python <<'END'
for i in range(64):
    check("MiB %d" % i, connect(server="new").pread(MiB, i * MiB),
          connect(server="old").pread(MiB, i * MiB))
END
stop_server old

step "a RAM tier over a slow disk"
start_server slow --filter=delay "$mramdisk" size=64M rdelay=5ms
start_server s --filter="$filter" "$mramdisk" 64M mnbd="$(sock_of slow)" \
  mnbd-mode=cache mnbd-cache-max=16M mnbd-control="$tmp/control"
python <<'END'
connect(server="slow").pwrite(pattern(4 * MiB), 0)
h = connect()
for again in range(2):
    check("content", h.pread(4 * MiB, 0), pattern(4 * MiB))
END
"$mblockctl" cache status >status
grep -q 'the cache had 50% of them' status || fail "$(cat status)"
stop_server s
