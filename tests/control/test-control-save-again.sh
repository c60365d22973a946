#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Another save looks only at what has changed since, and still saves all of it:
# after random changes of all kinds, another server loads the same disks.  What
# is remembered for this is given up when memory, or the disk, is needed.

. "$(dirname "$0")/../functions.sh"

serve size=16M control=control max-memory=96M max-disks=100
start_server d "$mramdisk" size=16M control="$tmp/d.control" max-memory=96M
export other=$tmp/d.sock server=$(cat s.pid 2>/dev/null || cat "$tmp/s.pid")
python <<'PY'
from controltest import *
import fcntl, fnmatch, random
c, d = Control(), Control(os.environ["tmp"] + "/d.control")
DIR = os.environ["tmp"] + "/saved"
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print("SEED=%d" % seed)
rng = random.Random(seed)

def job(c, method, expected="done", error=None, **params):
    j = c.call("job_wait", job=c.call(method, **params)["job"], seconds=600)
    check("state of %s (%s)" % (method, j["error"]), j["state"], expected)
    if error is not None and (error not in j["error"] or "\n" in j["error"]):
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], error))
    return j

def save(**params):
    return job(c, "disk_save", path=DIR, **params)["bytes_sent"]

def there(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.connect_unix(os.environ["other"])
    return h

def picture(c, connect):
    r = {}
    for name in c.names():
        i = c.info(name)
        e = c.call("disk_extents", name=name, limit=10000)["extents"]
        h, data = connect(name), []
        for x in e:
            if x["type"] == "data":
                data += [bytes(h.pread(min(MiB, x["length"] - k),
                                       x["offset"] + k))
                         for k in range(0, x["length"], MiB)]
        h.shutdown()
        # A parent that is not there has the name that it had last.
        r[name] = (i["size"], i["sector_size"], i["readonly"], i["quota"],
                   i["parent"], i["parent_exists"], e, hash(b"".join(data)))
    return r

def compare(what):
    for name in d.names():
        d.call("disk_destroy", name=name)
    job(d, "disk_load", path=DIR)
    ours, theirs = picture(c, connect), picture(d, there)
    check(what + ": names", sorted(theirs), sorted(ours))
    for name in ours:
        check(what + ": " + name, theirs[name], ours[name])

def read_by_server():
    for line in open("/proc/%s/io" % os.environ["server"]):
        if line.startswith("rchar:"):
            return int(line.split()[1])

g = connect("golden")
for i in range(8):
    g.pwrite(pattern(MiB, i), i * MiB)
g.shutdown()
for i in range(10):
    c.call("disk_clone", source="golden", name="vm-%d" % i)
    h = connect("vm-%d" % i)
    h.pwrite(pattern(65536, 100 + i), 10 * MiB)
    h.shutdown()
check("once", save(), 8 * MiB + 10 * 65536)
check("remembered", c.call("stats")["saves"],
      {"folders": 1, "disks": 11, "held": 0})

# Nothing has changed, nothing is read.
before = read_by_server()
check("again", save(), 0)
check("hardly anything was read", read_by_server() - before < 65536, True)
connect("vm-3").pwrite(b"changed", MiB)
before = read_by_server()
check("a page", save(), 4096)
check("hardly anything was read", read_by_server() - before < 65536, True)
compare("a page")
before = read_by_server()
check("everything is compared", save(forget=True), 0)
check("the folder was read", read_by_server() - before > 8 * MiB, True)
check("nothing is remembered", c.call("stats")["saves"]["folders"], 0)
check("compared, but remembered from now on", save(), 0)
c.call("disk_rename", name="vm-4", new_name="vm-four")
check("renamed", save(), 0)
compare("renamed")
# The same content written anew, without detect-same seeing it, is no change.
h = connect("vm-5")
data = h.pread(65536, 10 * MiB)
h.trim(65536, 10 * MiB)
h.pwrite(data, 10 * MiB)
h.shutdown()
check("the same bytes", save(), 0)
# A clone of a clone that is gone shares its pages all the same.
c.call("disk_clone", source="vm-6", name="of-6")
c.call("disk_destroy", name="vm-6")
check("its clone", save(), 0)
c.call("disk_clone", source="of-6", name="of-of-6")
c.call("disk_destroy", name="of-6")
connect("of-of-6").pwrite(b"x", 0)
check("its clone's clone", save(), 4096)
compare("parents that are gone")

# Somebody has touched the folder: compared, and repaired.
data = sorted(f for f in os.listdir(DIR) if f.startswith("mblock-data"))[0]
with open(DIR + "/" + data, "r+b") as f:
    f.seek(4096 * 5 + 1)
    f.write(b"damage")
check("repaired", save(), 4096)
compare("repaired")
m = open(DIR + "/manifest.json").read()
open(DIR + "/manifest.json", "w").write(m)
check("written with the same bytes", save(), 0)
os.rename(DIR, DIR + "-old")
check("another folder of that name", save() > 8 * MiB, True)
import shutil
shutil.rmtree(DIR + "-old")

# Locks: who may only read the folder stops nobody.
fd = os.open(DIR, os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
check("saved", save(), 0)
compare("loaded")
os.close(fd)
fd = os.open(DIR + "/mblock-lock", os.O_RDONLY)
check("mode of the lock", os.fstat(fd).st_mode & 0o777, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
job(c, "disk_save", "failed", "saved: another save is using it", path=DIR)
compare("loaded")
os.close(fd)
os.chmod(DIR + "/mblock-lock", 0o644)
job(c, "disk_save", "failed", "mblock-lock: expected a file with mode 0600",
    path=DIR)
os.unlink(DIR + "/mblock-lock")
os.symlink("/etc/passwd", DIR + "/mblock-lock")
job(c, "disk_save", "failed", "mblock-lock: Too many levels", path=DIR)
os.unlink(DIR + "/mblock-lock")
save()

# A disk that is destroyed or replaced is not kept in memory.
for i in range(2):
    h = connect("big")
    h.pwrite(random.Random(i).randbytes(8 * MiB), 0)
    h.shutdown()
    save()
    used = c.call("stats")["arena"]["used"]
    if i == 0:
        c.call("disk_destroy", name="big")
    else:
        c.call("disk_create", name="big", size=MiB, if_exists="replace")
    c.wait("its memory is free", lambda: c.call("stats")["arena"]["used"] <
           used - 8 * MiB + 65536)
c.call("disk_destroy", name="big")

# Former content: it is shown, and it is no reason to refuse a write.
c.call("disk_create", name="full", size=64 * MiB)
h = connect("full")
for i in range(32):
    h.pwrite(random.Random(i).randbytes(MiB), i * MiB)
save()
for i in range(8):
    h.pwrite(random.Random(99 + i).randbytes(MiB), i * MiB)
c.wait("it is shown", lambda: c.call("stats")["saves"]["held"] == 8 * MiB)
for i in range(8, 64):
    h.pwrite(random.Random(99 + i).randbytes(MiB), i * MiB)
h.shutdown()
check("given up", c.call("stats")["saves"]["disks"], 0)
save()
compare("after that")
c.call("disk_destroy", name="full")

# Nor is it a reason for an alarm: it is given up first, but only if somebody
# would hear of it.  The quota's event says that a tick is over.
LIMIT = c.call("stats")["arena"]["limit"]
def fill(percent, byte):
    h = connect("full")
    for i in range(96):
        if c.call("stats")["arena"]["used"] >= LIMIT * percent // 100:
            break
        h.pwrite(bytes([byte]) * MiB, i * MiB)
    h.shutdown()
    check("%d %% are in use" % percent,
          c.call("stats")["arena"]["used"] >= LIMIT * percent // 100, True)
def tick(client, *events):
    client.call("subscribe", events=["quota_low", *events])
    e = client.event()
    check("event", (e["event"], e.get("name")), ("quota_low", "tick"))
c.call("disk_create", name="tick", size=MiB, quota=4096)
connect("tick").pwrite(b"x", 0)
c.call("disk_create", name="full", size=96 * MiB)
fill(75, 1)
save()
fill(92, 2)
quiet = Control()
tick(quiet)
check("remembered", c.call("stats")["saves"]["disks"] > 0, True)
alarm = Control()
tick(alarm, "memory_low")
check("given up", c.call("stats")["saves"]["disks"], 0)
tick(alarm, "memory_low")
fill(92, 3)
check("an alarm", alarm.event()["event"], "memory_low")
for client in quiet, alarm:
    client.call("subscribe", events=[])
for disk in "full", "tick":
    c.call("disk_destroy", name=disk)

# Random changes.
def name():
    return rng.choice(c.names())

def change():
    n = name()
    i = c.info(n)
    k = rng.random()
    if k < 0.6:
        c.call("disk_set", name=n, readonly=False, quota=None)
        h = connect(n)
        size = h.get_size()
        for _ in range(rng.randrange(1, 6)):
            length = min(size, rng.choice((1, 4096, 65536, 300000)))
            if length == 0:
                break
            at = rng.randrange(size - length + 1)
            what = rng.random()
            if what < 0.6:
                h.pwrite(rng.randbytes(length), at)
            elif what < 0.8:
                h.trim(length, at)
            else:
                h.zero(length, at, nbd.CMD_FLAG_NO_HOLE)
        h.shutdown()
    elif k < 0.7:
        c.call("disk_clone", source=n, name="c%d" % rng.randrange(20),
               if_exists="replace")
    elif k < 0.75:
        if len(c.names()) > 3:
            c.call("disk_destroy", name=n)
    elif k < 0.8:
        new = "r%d" % rng.randrange(20)
        if new not in c.names():
            c.call("disk_rename", name=n, new_name=new)
    elif k < 0.85:
        if i["parent_exists"]:
            c.call("disk_reset", name=n)
    elif k < 0.9:
        c.call("disk_resize", name=n, size=rng.choice(
            (0, 1000, 5 * MiB + 4095, 16 * MiB, 16 << 30)))
    elif k < 0.95:
        c.call("disk_set", name=n, readonly=rng.random() < 0.5,
               quota=rng.choice((None, 16 * MiB)))
    else:
        c.call("disk_create", name="n%d" % rng.randrange(5), size=3 * MiB,
               if_exists="replace")

for i in range(12):
    for _ in range(rng.randrange(1, 12)):
        change()
    patterns = {}
    if rng.random() < 0.1:      # one that matches nothing is refused
        patterns = {"patterns": [p for p in ("[a-q]*", "r*")
                                 if fnmatch.filter(c.names(), p)]}
    forget = rng.random() < 0.1
    save(forget=forget, **patterns)
    if not patterns and i % 3 == 0:
        compare("round %d" % i)
        # Files of which little is in use are given up first.
        while save() > 0:
            pass
        check("round %d: all was found" % i, save(forget=True), 0)
        save()
save()
compare("at the end")
PY
stop_server s
stop_server d
