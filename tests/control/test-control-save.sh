#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# disk_save and disk_load: disks come back with their content, holes, sharing
# and properties; a second save writes what has changed; damage is one line and
# changes nothing; a save that is killed leaves the last complete one.

. "$(dirname "$0")/../functions.sh"

serve size=16M control=control max-memory=200M
python <<'END'
from controltest import *
import shutil, subprocess, signal
c = Control()
DIR = os.environ["tmp"] + "/saved"

def job(method, expected="done", error=None, **params):
    j = c.call("job_wait", job=c.call(method, **params)["job"], seconds=600)
    check("state of %s (%s)" % (method, j["error"]), j["state"], expected)
    if error is not None and (error not in j["error"] or "\n" in j["error"]):
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], error))
    return j

def content(name):
    h, r = connect(name), []
    for e in c.call("disk_extents", name=name, limit=10000)["extents"]:
        end = e["offset"] + e["length"]
        for i in range(e["offset"], end, MiB):
            if e["type"] == "data":
                r.append(h.pread(min(MiB, end - i), i))
    h.shutdown()
    return b"".join(r)

def picture():
    """All that is to be the same again."""
    r = {}
    for name in c.names():
        i = c.info(name)
        r[name] = (i["size"], i["sector_size"], i["readonly"], i["quota"],
                   i["mapped"], c.call("disk_extents", name=name, limit=10000)
                   ["extents"], content(name))
    return r

def destroy_all():
    for name in c.names():
        c.call("disk_destroy", name=name)
    c.wait("memory is free", lambda: c.call("stats")["arena"]["used"] < 65536)

def files():
    return sorted(os.listdir(DIR))

def bytes_in(dir):
    return sum(os.stat(dir + "/" + f).st_size for f in os.listdir(dir))

g = connect("golden")
for i in range(6):
    g.pwrite(pattern(MiB, i), 2 * MiB + i * MiB)
g.zero(MiB, 10 * MiB, nbd.CMD_FLAG_NO_HOLE)
g.shutdown()
c.call("disk_set", name="golden", readonly=True)
for i in range(20):
    c.call("disk_clone", source="golden", name="vm-%d" % i, quota=4 * MiB)
    h = connect("vm-%d" % i)
    h.pwrite(b"vm-%d" % i, 4096 * i + 100)
    h.pwrite(pattern(40960, 100 + i), 12 * MiB)
    h.trim(8192, 3 * MiB)
    h.shutdown()
c.call("disk_clone", source="vm-3", name="of-vm-3")
h = connect("of-vm-3")
h.pwrite(b"more", 5 * MiB)
h.shutdown()
c.call("disk_create", name="sectors", size=8 * MiB, sector_size=4096)
connect("sectors").pwrite(b"s" * 4096, MiB)
c.call("disk_create", name="odd \u00e9\n", size=1000001)
connect("odd \u00e9\n").pwrite(b"end", 1000001 - 3)
c.call("disk_create", name="empty", size=0)
before, used = picture(), c.call("stats")["arena"]["used"]

# Once: shared pages are there once.
j = job("disk_save", path=DIR)
check("mode", os.stat(DIR).st_mode & 0o777, 0o700)
check("files", files(), ["manifest.json", "mblock-data-1", "mblock-lock",
                         "mblock-map-1", "mblock-sums-1"])
pages = os.stat(DIR + "/mblock-data-1").st_size
check("shared once", pages < 6 * MiB + 21 * 60000 + 65536, True)
check("sent", j["bytes_sent"], pages)
# Again: nothing.
m = open(DIR + "/manifest.json").read()
check("nothing has changed", job("disk_save", path=DIR)["bytes_sent"], 0)
check("the same manifest", open(DIR + "/manifest.json").read() == m, True)
# A change: only that.
h = connect("vm-7")
h.pwrite(b"changed", 9 * MiB)
h.shutdown()
check("a page", job("disk_save", path=DIR)["bytes_sent"], 4096)
check("files", files(), ["manifest.json", "mblock-data-1", "mblock-data-2",
                         "mblock-lock", "mblock-map-2", "mblock-sums-1", "mblock-sums-2"])
before = picture()

# There and back.
job("disk_load", "failed", 'there is a disk "empty" already', path=DIR)
check("nothing has changed", picture() == before, True)
destroy_all()
job("disk_load", path=DIR)
check("all is the same", picture() == before, True)
after = c.call("stats")["arena"]["used"]
check("shared again (%d, %d)" % (used, after), after < used * 1.05 + 65536, True)
check("still nothing has changed", job("disk_save", path=DIR)["bytes_sent"], 0)
# Some of them; in place of others, which are as they were.
h = connect("vm-1")
h.pwrite(b"broken", 0)
job("disk_load", path=DIR, patterns=["vm-1", "sec*"], if_exists="replace",
    if_open="keep")
h.shutdown()
check("all is the same", picture() == before, True)
job("disk_load", path=DIR, if_exists="ignore")
job("disk_save", path=DIR + "2", patterns=["vm-1*"])
destroy_all()
job("disk_load", path=DIR + "2")
check("some", c.names(), sorted(["vm-1"] + ["vm-1%d" % i for i in range(10)]))
check("their content", content("vm-13"), before["vm-13"][6])
names = c.names()
job("disk_load", "failed", 'no disk in the folder matches "none"', path=DIR,
    patterns=["vm-*", "none"])
check("nothing was loaded", c.names(), names)

# A save that is killed at some step leaves the last generation; the next one
# removes what is left.
for name in "mblock-data-3", "mblock-sums-3", "mblock-map-3", \
            "mblock-manifest.new", "mblock-data-1x", "mine":
    open(DIR + "/" + name, "w").write("cut off")
destroy_all()
job("disk_load", path=DIR)
check("all is the same", picture() == before, True)
h = connect("vm-2")
h.pwrite(b"3", 0)
h.shutdown()
job("disk_save", path=DIR)
check("files", files(), [
    "manifest.json", "mblock-data-1", "mblock-data-1x", "mblock-data-2",
    "mblock-data-3", "mblock-lock", "mblock-map-3", "mblock-sums-1", "mblock-sums-2",
    "mblock-sums-3", "mine"])

# A file of which little is in use goes.
for i in range(6):
    connect("golden2").pwrite(pattern(MiB, 50 + i), 2 * MiB + i * MiB)
for name in c.names():
    if name != "golden2":
        c.call("disk_destroy", name=name)
job("disk_save", path=DIR)
check("files", files(), ["manifest.json", "mblock-data-1x", "mblock-data-4",
                         "mblock-lock", "mblock-map-4", "mblock-sums-4", "mine"])
before = picture()

# Damage: one line, and nothing changed, by load and by save.
def damage(expected, fn, save=True):
    shutil.rmtree(DIR + "3", ignore_errors=True)
    shutil.copytree(DIR, DIR + "3")
    fn(DIR + "3/")
    had = bytes_in(DIR + "3")
    job("disk_load", "failed", expected, path=DIR + "3", if_exists="replace")
    check("nothing has changed", picture() == before, True)
    if save:
        job("disk_save", "failed", expected, path=DIR + "3")
        check("the folder", bytes_in(DIR + "3"), had)

def change(name, at, data):
    def fn(dir):
        with open(dir + name, "r+b") as f:
            f.seek(at)
            f.write(data)
    return fn

def cut(name, size):
    return lambda dir: os.truncate(dir + name, size)

def text(old, new):
    def fn(dir):
        s = open(dir + "manifest.json").read()
        assert old in s
        open(dir + "manifest.json", "w").write(s.replace(old, new))
    return fn

damage("manifest.json: it is damaged: it is not JSON", cut("manifest.json", 100))
damage("manifest.json: it is damaged: its checksum is wrong",
       text('"size": 16777216', '"size": 16777217'))
damage('manifest.json: expected "version": from 1 to 2',
       text('"version": 1', '"version": 3'))
damage('expected "format": "mblock-save"', text("mblock-save", "other"))
damage('the map of disk "golden2" is damaged', change("mblock-map-4", 3, b"x"))
damage("mblock-map-4: No such file", lambda d: os.unlink(d + "mblock-map-4"))
damage("mblock-data-4: No such file", lambda d: os.unlink(d + "mblock-data-4"))
damage("mblock-data-4: expected a file of", cut("mblock-data-4", 4096))
damage("mblock-sums-4: expected a file of", cut("mblock-sums-4", 8))
damage("mblock-data-4: page 100 is damaged",
       change("mblock-data-4", 4096 * 100 + 7, b"\0x"), save=False)
damage("mblock-data-4: expected a file of",
       lambda d: (os.unlink(d + "mblock-data-4"),
                  os.symlink(DIR + "/mblock-data-4", d + "mblock-data-4")))
# A FIFO, which must not block; a map that is longer than the manifest says.
for name in "mblock-map-4", "manifest.json":
    damage(name + ": expected a regular file",
           lambda d: (os.unlink(d + name), os.mkfifo(d + name)))
damage("mblock-map-4: expected a regular file",
       lambda d: open(d + "mblock-map-4", "ab").write(b"x"))
# The next save repairs a damaged checksum and a damaged page.
for name, at in ("mblock-sums-4", 8 * 100), ("mblock-data-4", 4096 * 101):
    damage("mblock-data-4: page %d is damaged" % (100 + (at > 800)),
           change(name, at, b"\0\1\2\3\4\5\6\7"), save=False)
    check("a page", job("disk_save", path=DIR + "3")["bytes_sent"], 4096)
    job("disk_load", path=DIR + "3", if_exists="replace")
    check("all is the same", picture() == before, True)
job("disk_load", "failed", "there is no manifest.json",
    path=os.environ["tmp"])
job("disk_load", "failed", "No such file or directory", path="/none")
job("disk_save", "failed", "No such file or directory", path="/none/at/all")
open(os.environ["tmp"] + "/file", "w").write("x")
job("disk_save", "failed", "Not a directory", path=os.environ["tmp"] + "/file")
c.refused(BAD_PARAMS, 'path: "x": expected an absolute path', "disk_save",
          path="x")
c.refused(BAD_PARAMS, 'patterns: "[": expected', "disk_load", path="/x",
          patterns=["["])
# No pattern at all is a script's mistake, and not a save of nothing.
manifest = open(DIR + "/manifest.json").read()
for method in "disk_save", "disk_load":
    c.refused(BAD_PARAMS, "patterns: []: expected an array of 1 to ", method,
              path=DIR, patterns=[])
check("the save", open(DIR + "/manifest.json").read() == manifest, True)
c.refused("ENOENT", 'patterns: no disk matches "none"', "disk_save", path="/x",
          patterns=["*", "none"])

# No memory.
big = [connect("big%d" % i) for i in range(12)]
for h in big:
    for i in range(15):
        h.pwrite(b"b" * MiB, i * MiB)
    h.shutdown()
n = len(c.names())
shutil.copytree(DIR, DIR + "5")
job("disk_save", path=DIR + "5")
connect("over").pwrite(b"o" * MiB, 0)
connect("over").pwrite(b"o" * MiB, MiB)
names = c.names()
job("disk_load", "failed", "no memory is left: max-memory is reached",
    path=DIR + "5", if_exists="replace")
check("nothing has changed", c.names(), names)

# The last page is no whole one, and follows what was trimmed.
destroy_all()
c.call("disk_create", name="odd", size=10000)
connect("odd").pwrite(pattern(10000), 0)
c.call("disk_clone", source="odd", name="odd-end")
connect("odd-end").trim(8192, 0)
job("disk_save", path=DIR + "6")
destroy_all()
job("disk_load", path=DIR + "6")
check("the end", bytes(connect("odd-end").pread(10000, 0)),
      bytes(8192) + pattern(10000)[8192:])
check("its parent", bytes(connect("odd").pread(10000, 0)), pattern(10000))

# Sectors of several pages, of which a save writes some and clones share some.
destroy_all()
c.call("disk_create", name="wide", size=8 * MiB, sector_size=65536)
h = connect("wide")
h.pwrite(pattern(MiB, 70), 65536 * 3)
job("disk_save", path=DIR + "7")
data = bytearray(pattern(65536, 70))
data[5000] ^= 1
h.pwrite(bytes(data), 65536 * 3)
c.call("disk_clone", source="wide", name="wide2")
data[20000] ^= 1
connect("wide2").pwrite(bytes(data), 65536 * 3)
job("disk_save", path=DIR + "7")
h.shutdown()
before = picture()
destroy_all()
job("disk_load", path=DIR + "7")
check("all is the same", picture() == before, True)
check("sectors", connect("wide2").get_block_size(nbd.SIZE_MINIMUM), 65536)

# Disks that are renamed during saves: each save can be read.
import threading
destroy_all()
for i in range(600):
    c.call("disk_create", name="r%03d" % i, size=4096)
ended = threading.Event()
renames, failures = 0, []
def rename():
    global renames
    try:
        mine, i = Control(), 0
        while not ended.is_set():
            for old, new in (("r%03d", "z%03d"), ("z%03d", "r%03d")):
                mine.call("disk_rename", name=old % (i % 600), new_name=new %
                          (i % 600))
                renames += 1
            i += 7
    except (Exception, SystemExit) as e:
        failures.append(repr(e))
t = threading.Thread(target=rename)
t.start()
try:
    c.wait("disks are renamed", lambda: renames or failures)
    before = renames
    for i in range(25):
        job("disk_save", path=DIR + "6")
        names = [d["name"] for d in
                 json.load(open(DIR + "6/manifest.json"))["disks"]]
        check("all, in order", (len(set(names)), names), (600, sorted(names)))
    during = renames - before
finally:
    ended.set()
    t.join()
check("failures", failures, [])
check("renames during the saves (%d)" % during, during > 0, True)
destroy_all()
job("disk_load", path=DIR + "6")
check("all disks", len(c.names()), 600)
END
