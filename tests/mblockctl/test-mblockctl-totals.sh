#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# list, stats, top, info and metrics agree on what there is: with clones, a
# disk that lives on without its name, a disk that is gone, and an origin.

. "${srcdir:-.}/tests/mblockctl.sh"
needs_server

# max-request: libnbd 1.16 refuses requests over the maximum itself.
nbdkit -f -U "$tmp/upstream" ./mramdisk.so 8M max-memory=64M max-request=4M \
       control="$tmp/u" 2>"$tmp/upstream.log" &
pids+=($!)
: > "$tmp/out"
: > "$tmp/err"
status 0 -s "$tmp/u" wait-ready
status 0 -s "$tmp/u" create image 8M
nbdsh -u "nbd+unix:///image?socket=$tmp/upstream" \
  -c 'h.pwrite(b"i" * (4 << 20), 0)' || wrong nbdsh
nbdkit -f -U "$tmp/nbd" ./mramdisk.so 16M max-memory=64M max-request=4M \
       control="$tmp/s" 2>"$tmp/log" &
pids+=($!)
export MBLOCK_SOCKET=$tmp/s tmp
status 0 wait-ready
status 0 create lazy --origin "nbd+unix:///image?socket=$tmp/upstream"
status 0 create golden 16M
shown='the figures'
nbdsh -c '
import json, os, re, subprocess
tmp = os.environ["tmp"]
MiB = 1 << 20

def ctl(*args):
    return subprocess.run(["'"$ctl"'", *args], check=True, text=True,
                          stdout=subprocess.PIPE).stdout

def connect(name):
    h = nbd.NBD()
    h.connect_uri("nbd+unix:///%s?socket=%s/nbd" % (name, tmp))
    return h

def operations(disk):
    return {op: [disk[op]["ops"], disk[op].get("bytes", 0), disk[op]["errors"]]
            for op in disk if isinstance(disk[op], dict) and "ops" in disk[op]}

def add(disks):
    sum = None
    for d in map(operations, disks):
        sum = d if sum is None else {op: [x + y for x, y in zip(sum[op], d[op])]
                                     for op in d}
    return sum

held = []
h = connect("golden"); held.append(h)
h.pwrite(b"g" * (4 * MiB), 0)
ctl("clone", "golden", "vm-1", "vm-2", "--quota", "2M")
h = connect("vm-1"); held.append(h)
h.pwrite(b"v" * MiB, MiB)
h = connect("lazy"); held.append(h)
h.pread(MiB, 0)
h.pwrite(b"l" * 4096, 2 * MiB)
ctl("clone", "lazy", "lazy-2")
h = connect("lazy-2"); held.append(h)
h.pread(MiB, 0)

# One lives on without its name, and has two clients; one is gone.
ctl("create", "gone", "16M")
gone = [connect("gone"), connect("gone")]
for i in range(3):
    gone[0].pwrite(b"%d" % i * MiB, i * MiB)
ctl("destroy", "gone", "--force")
ctl("create", "past", "16M")
h = connect("past")
h.pwrite(b"p" * MiB, 0)
h.shutdown()
while json.loads(ctl("info", "past", "--json"))[0]["connections"]:
    pass
past = json.loads(ctl("stats", "past", "--json"))["disks"]
ctl("destroy", "past")

disks = json.loads(ctl("list", "--json"))["disks"]
deleted = json.loads(ctl("list", "--deleted", "--json"))["disks"]
stats = json.loads(ctl("stats", "--json"))
arena = stats["arena"]
top = ctl("top", "--once", "-b", "--delay", "0.1")
metrics = dict(l.rsplit(" ", 1) for l in ctl("metrics").splitlines()
               if not l.startswith("#"))
info = json.loads(ctl("info", "*", "--json"))

# Each disk: list, stats, info, top, metrics.
names = sorted(d["name"] for d in disks)
assert names == ["golden", "lazy", "lazy-2", "vm-1", "vm-2"], names
columns = re.search("^NAME .*$", top, re.M).group().split()
rows = {l.split()[0]: dict(zip(columns, l.split()))
        for l in top[top.index("NAME"):].splitlines()[1:]}
for d in disks:
    of = lambda all: [x for x in all if x["name"] == d["name"]][0]
    for key in "size", "mapped", "owned", "connections":
        title = {"connections": "CLIENTS"}.get(key, key.upper())
        values = [d[key], of(stats["disks"])[key], of(info)[key],
                  int(rows[d["name"]][title]),
                  int(metrics["mblock_disk_%s%s{disk=\"%s\"}" % (
                      key, "" if key == "connections" else "_bytes",
                      d["name"])])]
        assert len(set(values)) == 1, (d["name"], key, values)
    assert of(info)["shared"] + of(info)["exclusive"] == d["mapped"], d

# All of them: disks and clients.
assert arena["disks"] == len(disks) == int(metrics["mblock_disks"])
clients = sum(d["connections"] for d in disks)
assert clients == 4, disks
assert [(d["name"], d["owned"], len(d["clients"])) for d in deleted] == \
    [("gone", 3 * MiB, 2)], deleted
assert arena["connections"] == clients + 2 == int(metrics["mblock_connections"])
assert arena["connections"] == len(json.loads(ctl("clients", "--json"))["clients"])
assert "Disks %d   Clients %d\n" % (len(disks), clients + 2) in top, top

# Requests: the totals are those of the disks, of the one without a name, and of
# the one that is gone.
expected = add(stats["disks"] + past)
expected["write"][0] += 3
expected["write"][1] += 3 * MiB
assert operations(stats["total"]) == expected, (stats["total"], expected)
for op, (ops, bytes, errors) in expected.items():
    assert int(metrics["mblock_requests_total{operation=\"%s\"}" % op]) == ops

# Memory: every page once, and the little that the trees take.
origin = [d["origin"] for d in info if d["name"] == "lazy"][0]
assert origin["memory"] >= MiB, origin
owned = {d["name"]: d["owned"] for d in disks}
assert owned["vm-1"] == MiB and owned["vm-2"] == 0, owned
data = 4 * MiB + MiB + 4096 + origin["memory"] + 3 * MiB
assert 0 <= arena["used"] - data < MiB, (arena, data)
assert arena["used"] == int(metrics["mblock_memory_used_bytes"])
assert "%d of %d" % (arena["used"], arena["limit"]) in top, top

# The disk without a name goes with its last client.
for h in gone:
    h.shutdown()
while json.loads(ctl("list", "--deleted", "--json"))["disks"]:
    pass
arena = json.loads(ctl("stats", "--json"))["arena"]
assert arena["connections"] == clients, arena
assert arena["used"] - (data - 3 * MiB) < MiB, (arena, data)
' || wrong "see above"

# A disk that has used nearly all of its quota is shown everywhere.
status 0 list
! grep -q 'early full' "$tmp/out" || wrong "expected no warning"
status 0 create full-1 1M --quota 40k
nbdsh -u "nbd+unix:///full-1?socket=$tmp/nbd" \
  -c 'h.pwrite(b"f" * (9 * 4096), 0)' || wrong nbdsh
status 0 list
out_has 'Nearly full, by quota: full-1'
status 0 list vm-1
! grep -q 'early full' "$tmp/out" || wrong "expected no warning"
status 0 list -H
! grep -q 'early full' "$tmp/out" || wrong "expected no warning"
status 0 info full-1
out_has '90% used: nearly full'
status 0 top --once full-1
out_has '36K!'
nbdsh -u "nbd+unix:///vm-2?socket=$tmp/nbd" -c 'h.pwrite(b"f" * (1 << 20), 0)'
status 0 create big 64M
nbdsh -u "nbd+unix:///big?socket=$tmp/nbd" -c 'for i in range(57):
  try:
    h.pwrite(b"f" * (1 << 20), i << 20)
  except nbd.Error:
    pass'
status 0 list
grep -q '^The memory is nearly full: .* of 64M (max-memory) are in use\.$' \
  "$tmp/out" || wrong "expected a warning of the memory"
status 0 top --once
out_has ' NEARLY FULL   Disks '
exit $rc
