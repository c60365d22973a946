#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A clone is mirrored to a server that has the golden image: only what differs
# is sent, and takes memory there; and both sides are the same in the end.

. "$(dirname "$0")/../mirror-functions.sh"

ctl () { "$builddir/mblockctl" -q -s "$tmp/$1" "${@:2}"; }

start_server u "$mramdisk" size=64M control="$tmp/c"
start_server p "$mramdisk" size=64M control="$tmp/d"

step "the golden image on both, and clones"
python <<'END'
h = connect("golden", server="p")
for i in range(48):
    h.pwrite(pattern(MiB, i), i * MiB)
END
ctl d push golden "nbd+unix:///golden?socket=$tmp/u.sock"
ctl c clone golden vm
ctl d clone golden vm

# used: the bytes that the secondary's server holds.
used () { ctl c --json stats | python3 -c '
import json, sys
print(json.load(sys.stdin)["arena"]["used"])'; }

step "the clone is changed in some places, and mirrored"
python <<'END'
import random
random.seed(5)
h = connect("vm", server="p")
for i in range(40):             # one page each, or parts of two
    h.pwrite(random.randbytes(PAGE), i * MiB + random.randrange(8) * PAGE)
h.pwrite(random.randbytes(777), 45 * MiB + 3000)
h.zero(MiB, 20 * MiB + PAGE)
h.pwrite(random.randbytes(MiB), 60 * MiB)
END
before=$(used)
start_server s --filter="$filter" "$builddir/mnbd.so" socket="$tmp/p.sock" \
  export=vm mnbd="nbd+unix:///vm?socket=$tmp/u.sock" mnbd-mode=mirror \
  mnbd-control=control
mirror <<'END'
s = synchronised()
differs = 40 * PAGE + 2 * PAGE + MiB + 2 * PAGE
print("sent %d of %d bytes that differ; %d were there" %
      (s["bytes_sent"], differs, s["bytes_same"]))
check("sent", s["bytes_sent"] <= differs + 64 * 4 * PAGE, True)
check("the same", s["bytes_same"] >= 40 * MiB, True)
END
python <<'END'
a, b = connect("vm", server="p"), connect("vm", server="u")
for i in range(64):
    check("MiB %d" % i, a.pread(MiB, i * MiB) == b.pread(MiB, i * MiB), True)
END
after=$(used)
echo "memory on the secondary: $((after - before)) bytes"
[ $((after - before)) -lt $((4 << 20)) ] ||
  fail "the secondary took $((after - before)) bytes for it"

step "while clients write"
stop_server s
ctl c clone golden vm --replace
start_server s --filter="$filter" "$builddir/mnbd.so" socket="$tmp/p.sock" \
  export=vm mnbd="nbd+unix:///vm?socket=$tmp/u.sock" mnbd-mode=mirror \
  mnbd-control=control mnbd-rate=64M
python <<'END'
import random
random.seed(6)
h = connect()
for i in range(1500):
    n = random.randrange(1, 20000)
    offset = random.randrange(h.get_size() - n)
    # Often what the golden image has there, on either side of the copying.
    if i % 3:
        h.pwrite(random.randbytes(n), offset)
    else:
        at = offset // MiB * MiB
        h.pwrite(pattern(MiB, at // MiB)[offset - at:offset - at + n], offset)
h.flush()
END
mirror <<'END'
s = synchronised()
check("some was there", s["bytes_same"] > 0, True)
END
python <<'END'
a, b = connect("vm", server="p"), connect("vm", server="u")
for i in range(64):
    check("MiB %d" % i, a.pread(MiB, i * MiB) == b.pread(MiB, i * MiB), True)
END
stop_server s

step "other content: the comparing ends soon"
ctl c create vm 64M --replace
python <<'END'
h = connect("vm", server="u")
for i in range(64):
    h.pwrite(pattern(MiB, 100 + i), i * MiB)
END
start_server s --filter="$filter" "$builddir/mnbd.so" socket="$tmp/p.sock" \
  export=vm mnbd="nbd+unix:///vm?socket=$tmp/u.sock" mnbd-mode=mirror \
  mnbd-control=control
mirror <<'END'
s = synchronised()
check("nothing was there", s["bytes_same"], 0)
END
# Before anybody else reads that disk.
read=$(ctl c --json stats vm | python3 -c '
import json, sys
print(json.load(sys.stdin)["disks"][0]["read"]["bytes"])')
echo "$read bytes were read from the secondary"
[ "$read" -ge $((1 << 20)) ] && [ "$read" -lt $((24 << 20)) ] ||
  fail "of 64 MiB that differ the filter read $read bytes to compare them"
python <<'END'
a, b = connect("vm", server="p"), connect("vm", server="u")
for i in range(64):
    check("MiB %d" % i, a.pread(MiB, i * MiB) == b.pread(MiB, i * MiB), True)
END
