#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each field of a manifest, and each record of a map, with values that somebody
# has chosen, and with right checksums: load and save succeed or say in one line
# what is wrong, the server goes on, and a load that fails changes nothing.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control max-memory=64M max-size=1G
server=$(cat s.pid)
export server
python <<'END'
from controltest import *
import copy, random, shutil, struct
c = Control()
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print("SEED=%d" % seed)
rng = random.Random(seed)
DIR = os.environ["tmp"] + "/saved"
BAD = os.environ["tmp"] + "/bad"

def checksum(data):
    s = 0x9e3779b97f4a7c15 ^ len(data)
    data += bytes(-len(data) % 8)
    for (word,) in struct.iter_unpack("<Q", data):
        s = (s ^ word) * 0xff51afd7ed558ccd % (1 << 64)
        s ^= s >> 32
    return "%016x" % s

def write(m):
    m = copy.deepcopy(m)
    m.pop("checksum", None)
    text = json.dumps(m, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    m["checksum"] = checksum(text.encode())
    with open(BAD + "/manifest.json", "w") as f:
        json.dump(m, f)

def job(method, **params):
    j = c.call("job_wait", job=c.call(method, **params)["job"], seconds=600)
    if j["state"] == "failed":
        check("one line", "\n" in j["error"] or not j["error"], False)
    return j

outcomes = {"done": 0, "failed": 0}
def try_it(what):
    names = c.names()
    j = job("disk_load", path=BAD, if_exists="replace")
    outcomes[j["state"]] += 1
    if j["state"] == "failed":
        check(what + ": nothing has changed", c.names(), names)
        check(what + ": whose fault", j["error"].startswith(BAD), True)
    else:
        for name in c.names():
            if name not in names:
                c.call("disk_destroy", name=name)
    check(what + ": it answers", c.info("a")["name"], "a")
    return j

def fresh():
    shutil.rmtree(BAD, ignore_errors=True)
    shutil.copytree(DIR, BAD)

connect("a").pwrite(b"a" * 20000, 4096)
connect("a").zero(8192, 512 * 1024, nbd.CMD_FLAG_NO_HOLE)
c.call("disk_clone", source="a", name="b", quota=MiB)
connect("b").pwrite(b"b" * 5000, 0)
c.call("disk_create", name="c", size=MiB, sector_size=4096)
check("saved", job("disk_save", path=DIR)["state"], "done")
good = json.load(open(DIR + "/manifest.json"))
fresh()
write(good)
check("checksums are right", try_it("good")["state"], "done")

values = [None, True, False, -1, 0, 1, 2, 3, 511, 4095, 65537, (1 << 31) - 1,
          1 << 31, (1 << 32) - 1, 1 << 32, 1 << 53, (1 << 63) - 1, 1.5, 1e300,
          "", "x", "a", "b", "c", "zz", "\u00e9", "../x", "x" * 5000, "\n\x1b[2J",
          [], [1], {}, {"x": 1}, "REMOVED"]
# With a different version, there are origins.
with_origin = copy.deepcopy(good)
with_origin["version"] = 2
with_origin["origins"] = [{"uri": "nbd+unix:///?socket=/nonexistent",
                           "size": MiB, "prefetch": False}]
with_origin["disks"][0].update(origin=0, origin_end=MiB)

def places(m, path=()):
    yield path
    if isinstance(m, dict):
        for k in m:
            yield from places(m[k], path + (k,))
    elif isinstance(m, list):
        for i in range(len(m)):
            yield from places(m[i], path + (i,))

for base in good, with_origin:
    for path in places(base):
        if not path or path == ("checksum",):
            continue
        m = base
        for k in path:
            m = m[k]
        # Its own type gets all values: others are refused at the first look.
        own = [v for v in values if type(v) is type(m)]
        others = [v for v in values if type(v) is not type(m)]
        for v in own + rng.sample(others, 3) + ["REMOVED"]:
            m = copy.deepcopy(base)
            at = m
            for k in path[:-1]:
                at = at[k]
            if v == "REMOVED":
                del at[path[-1]]
            else:
                at[path[-1]] = v
            write(m)
            try_it("%s=%r" % (".".join(map(str, path)), v))
for extra in ("origin", 0), ("origin_end", 5), ("parent", "c"):
    m = copy.deepcopy(good)
    m["disks"][0][extra[0]] = extra[1]
    write(m)
    try_it(str(extra))
# Parents in a circle: nobody who follows them would come to an end.
for circle in {"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}:
    m = copy.deepcopy(good)
    for d in m["disks"]:
        if d["name"] in circle:
            d.update(parent=circle[d["name"]], parent_exists=True)
    write(m)
    j = try_it("a circle")
    check("%r: refused" % circle, (j["state"], j["error"]), (
        "failed", BAD + ": manifest.json: disk \"%s\" makes no sense: it "
        "descends from itself" % ("a" if circle.get("c") is None else "b")))
# Without the disk that closes it, it is none.
check("a part of the circle", job("disk_load", path=BAD, patterns=["c"],
                                  if_exists="replace")["state"], "done")
check("its parent", (c.info("c")["parent"], c.info("c")["parent_exists"]),
      ("b", False))

# The last generation: a load takes it, and no save makes another one.
fresh()
os.rename(BAD + "/mblock-map-1", BAD + "/mblock-map-4294967293")
m = copy.deepcopy(good)
m["generation"] = (1 << 32) - 3
write(m)
connect("a").pwrite(b"x", 0)
check("the last one", job("disk_save", path=BAD)["state"], "done")
for forget in False, True:
    connect("a").pwrite(b"y", 0)
    j = job("disk_save", path=BAD, forget=forget)
    check("refused", (j["state"], j["error"]),
          ("failed", BAD + ": manifest.json: generation 4294967294 is the "
           "last one: expected another folder"))
check("loads still", try_it("the last generation")["state"], "done")

# A large file takes no memory but for what is loaded of it: one page of zeros.
def peak():
    for line in open("/proc/%s/status" % os.environ["server"]):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KiB

fresh()
PAGES = 1 << 24
with open(BAD + "/mblock-data-2", "w") as f:
    f.truncate(PAGES * 4096)
with open(BAD + "/mblock-sums-2", "wb") as f:
    f.seek((PAGES - 1) * 8)
    f.write(bytes.fromhex(checksum(bytes(4096)))[::-1])
record = struct.pack("<QQII", 3, PAGES - 1, 1, 2)
with open(BAD + "/mblock-map-2", "wb") as f:
    f.write(open(BAD + "/mblock-map-1", "rb").read() + record)
m = copy.deepcopy(good)
m["generation"] = 2
m["files"].append({"file": 2, "pages": PAGES, "live": 1})
empty = m["disks"][2]
check("c has nothing", (empty["name"], empty["runs"]), ("c", 0))
empty.update(runs=1, checksum=checksum(record))
write(m)
before = peak()
check("a large file", job("disk_load", path=BAD, if_exists="replace")["state"],
      "done")
check("what is loaded", [e["offset"] for e in c.call("disk_extents", name="c")
                         ["extents"] if e["type"] == "data"], [3 * 4096])
check("memory: %d" % (peak() - before), peak() - before < 32 * MiB, True)

# Records of the map.
fresh()
map = open(BAD + "/mblock-map-1", "rb").read()
for i in range(300):
    data = bytearray(map)
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(data) // 24) * 24
        if rng.random() < 0.3:
            data[at:at + 24] = struct.pack("<QQII", *(
                rng.choice((0, 1, 2, 5, 255, 256, (1 << 32) - 1, 1 << k))
                % (1 << bits) for k, bits in ((63, 64), (62, 64), (31, 32),
                                              (30, 32))))
        else:
            data[at + rng.randrange(24)] = rng.choice((0, 1, 0xff, 0x80))
    open(BAD + "/mblock-map-1", "wb").write(data)
    m, n = copy.deepcopy(good), 0
    for d in m["disks"]:
        d["checksum"] = checksum(bytes(data[n:n + 24 * d["runs"]]))
        n += 24 * d["runs"]
    write(m)
    try_it("map %d" % i)
    if i % 10 == 0:
        job("disk_save", path=BAD)
        fresh()
print(outcomes)
check("some were refused, some were not", all(outcomes.values()), True)
END
stop_server s
