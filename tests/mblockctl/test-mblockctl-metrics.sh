#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl metrics prints Prometheus' text format, strictly read, with the
# statistics of the server.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
export MBLOCK_SOCKET=$tmp/s
"$ctl" create --quiet $'q"b\\n\nü'
status 0 metrics
no_error
python3 - "$tmp/out" <<'EOP' || wrong "see above"
import re, sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
text = open(sys.argv[1], encoding="utf-8", newline="\n").read()
assert text.endswith("\n")
types, helped, seen, samples, current = {}, set(), set(), {}, None
for line in text[:-1].split("\n"):
    if line.startswith("# HELP "):
        name = line.split(" ", 3)[2]
        assert name not in helped, "twice: " + line
        helped.add(name)
    elif line.startswith("# TYPE "):
        _, _, name, type = line.split(" ")
        assert type in ("gauge", "counter", "histogram"), line
        assert name in helped and name not in types, line
        types[name] = type
        current = name
    else:
        m = re.fullmatch("(%s)(?:\\{(%s(?:,%s)*)\\})? ([0-9.e+-]+)" %
                         (NAME, LABEL, LABEL), line)
        assert m, "not a sample: " + line
        name = m.group(1)
        family = name
        if types[current] == "histogram":
            family = re.sub("_(bucket|sum|count)$", "", name)
        assert family == current, "not under its TYPE: " + line
        assert (types[current] == "counter") == name.endswith("_total"), line
        labels = tuple(sorted(re.findall(LABEL, m.group(2) or "")))
        assert (name, labels) not in samples, "twice: " + line
        samples[name, labels] = float(line.rsplit(" ", 1)[1])

def get(metric, /, **labels):
    return samples[metric, tuple(sorted(labels.items()))]

assert get("mblock_memory_limit_bytes") == 8 << 30
assert get("mblock_disks") == 4
assert get("mblock_connections") == 2
assert get("mblock_requests_total", operation="read") == 4000
assert get("mblock_requests_total", operation="flush") == 200
assert get("mblock_disk_requests_total", disk="busy", operation="flush") == 200
assert get("mblock_disk_bytes_total", disk="busy", operation="cache") == \
    20 * 4096
assert get("mblock_no_space_total", limit="quota") == 3
assert get("mblock_info", name="mramdisk", version="0.1.0") == 1
assert get("mblock_disk_size_bytes", disk="golden") == 10 << 30
assert get("mblock_disk_size_bytes", disk='q\\"b\\\\n\\nü') == 16 << 20
assert get("mblock_disk_quota_bytes", disk="busy") == 1 << 30
assert ("mblock_disk_quota_bytes", (("disk", "idle"),)) not in samples
assert get("mblock_disk_requests_total", disk="busy", operation="read") == 4000
assert get("mblock_disk_bytes_total", disk="busy", operation="write") == \
    1000 * 65536
assert get("mblock_disk_no_space_total", disk="busy", limit="quota") == 3

# Histograms: the same bounds everywhere, cumulative, +Inf is the count.
L = "mblock_disk_latency_seconds"
series = {}
for (name, labels), value in samples.items():
    if name.endswith("_bucket"):
        d = dict(labels)
        le = float(d.pop("le").replace("+Inf", "inf"))
        series.setdefault(tuple(sorted(d.items())), []).append((le, value))
assert series
bounds = {tuple(le for le, _ in s) for s in series.values()}
assert len(bounds) == 1 and len(bounds.pop()) == 25
for labels, s in series.items():
    count = L + "_count" if "disk" in dict(labels) else \
        "mblock_latency_seconds_count"
    assert s == sorted(s) and [v for _, v in s] == sorted(v for _, v in s)
    assert s[-1] == (float("inf"), samples[count, labels])
busy = dict(series[("disk", "busy"), ("operation", "read")])
assert busy[1.28e-07] == 0 and busy[2.56e-07] == 2000
assert busy[5.12e-07] == 2000 and busy[1.024e-06] == 3960
assert busy[1.6384e-05] == 4000 == busy[float("inf")]
EOP
status 0 metrics --total
grep -q mblock_disk_ "$tmp/out" && wrong "expected no statistics of disks"
out_has 'mblock_latency_seconds_count{operation="read"} '
status 0 metrics --json
json 'len(r["disks"]) == 4'

exit $rc
