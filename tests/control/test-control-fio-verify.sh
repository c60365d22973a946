#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The life cycle under load, seen by fio: while its jobs write and verify, the
# control socket resizes, clones, replaces and destroys disks at random, also
# theirs.  A client that has a disk open keeps it and what it wrote, whatever
# happens to the name; and a clone that is not written to stays as it was
# created.

. "$(dirname "$0")/../functions.sh"

requires_fio
export seconds=${MBLOCK_LOAD_SECONDS:-3}
serve size=8M control=control

python <<'END'
from controltest import *
import random
import subprocess
import threading

FIO = 8 * MiB                   # what fio uses of a disk
SECONDS = float(os.environ["seconds"])
JOBS = [("small", "rw=randrw bs=4k"),
        ("bytes", "rw=randrw bsrange=512-64k bs_unaligned=1"),
        ("large", "rw=readwrite bs=256k"),
        ("mixed", "rw=randrw bsrange=1k-128k")]
failures = []
stop = threading.Event()

def content(seed):
    """Of a disk that is only cloned: data, holes and zeros."""
    rnd = random.Random(seed)
    data = bytearray(4 * MiB)
    for i in range(200):
        at = rnd.randrange(len(data) - 20000)
        data[at:at + 20000] = rnd.randbytes(20000)
    at = rnd.randrange(MiB)
    data[at:at + 2 * MiB] = bytes(2 * MiB)
    return bytes(data)

def write_all(h, data):
    for at in range(0, len(data), 64 * KiB):
        part = data[at:at + 64 * KiB]
        if any(part):
            h.pwrite(part, at)

def read_all(h, size):
    return b"".join(h.pread(MiB, at) for at in range(0, size, MiB))

def guarded(fn, *args):
    def run():
        try:
            fn(*args)
        except BaseException as e:
            failures.append((fn.__name__, args, repr(e)))
            stop.set()
    t = threading.Thread(target=run)
    t.start()
    return t

runs = {name: 0 for name, options in JOBS}

def client(name, options):
    """fio on one disk: it writes, and verifies all of it at the end, over one
    connection.  Again and again, each time what the name stands for then."""
    while not stop.is_set():
        r = subprocess.run(
            ["fio", "--name=" + name, "--ioengine=nbd", "--size=%d" % FIO,
             "--uri=nbd+unix:///%s?socket=%s" % (name, os.environ["sock"]),
             "--iodepth=8", "--verify=crc32c", "--verify_fatal=1",
             "--serialize_overlap=1",
             "--verify_backlog=64", "--randseed=%d" % (runs[name] + 1),
             *("--" + o for o in options.split())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        if r.returncode != 0 or "err= 0" not in r.stdout:
            raise SystemExit("fio %s: status %d\n%s" % (name, r.returncode,
                                                        r.stdout))
        runs[name] += 1

made = {}                       # of each clone with known content: its seed
made_lock = threading.Lock()
did = {}
origin = [0, 0]                 # the seed of what origin-N has

def new_origin(c, n, seed):
    """Replace a disk that is only cloned by one with other content."""
    c.call("disk_create", name="new-%d" % n, size=4 * MiB, if_exists="replace")
    h = connect("new-%d" % n)
    write_all(h, content(seed))
    h.shutdown()
    c.call("disk_clone", source="new-%d" % n, name="origin-%d" % n,
           if_exists="replace")
    origin[n] = seed

def changer(n):
    """Each has clones and an origin of its own, so it knows what they hold;
    the disks of fio are for all."""
    rnd = random.Random(n)
    c = Control()
    seed = n
    while not stop.is_set():
        name = rnd.choice(JOBS)[0]
        clone = "known-%d-%d" % (n, rnd.randrange(20))
        what = rnd.choice(["resize", "clone", "clone known", "clone a clone",
                           "replace", "replace by a clone", "destroy",
                           "destroy clone", "write beside", "shrink clone",
                           "set", "look", "new origin"])
        if what == "resize":
            # Who connects meanwhile wants FIO bytes.
            c.answer("disk_resize", name=name,
                     size=FIO + rnd.randrange(64) * 100 * KiB + 512)
        elif what == "clone":
            c.answer("disk_clone", source=name, if_exists="replace",
                     name="copy-%d" % rnd.randrange(6))
        elif what == "clone known":
            c.call("disk_clone", source="origin-%d" % n, name=clone,
                   if_exists="replace")
            made[clone] = origin[n]
        elif what == "clone a clone" and clone in made:
            other = "known-%d-%d" % (n, rnd.randrange(20))
            c.call("disk_clone", source=clone, name=other,
                   if_exists="replace")
            made[other] = made[clone]
        elif what == "replace":
            c.call("disk_create", name=name, size=FIO + 512,
                   if_exists="replace")
        elif what == "replace by a clone":
            c.answer("disk_clone", source="copy-%d" % rnd.randrange(6),
                     name=name, if_exists="replace")
        elif what == "destroy":
            # The next to connect makes a new one.
            c.answer("disk_destroy", name=name)
        elif what == "destroy clone" and made.pop(clone, None) is not None:
            c.call("disk_destroy", name=clone)
        elif what == "write beside" and clone in made:
            # To a clone of it: what the two share stays as it was.
            c.call("disk_clone", source=clone, name="scratch-%d" % n,
                   if_exists="replace")
            h = connect("scratch-%d" % n)
            for i in range(10):
                at = rnd.randrange(3 * MiB)
                rnd.choice([lambda: h.pwrite(rnd.randbytes(9000), at),
                            lambda: h.zero(20000, at),
                            lambda: h.trim(200000, at)])()
            h.shutdown()
        elif what == "shrink clone":
            # Of an origin's clone, and then a new one in its place.
            c.call("disk_clone", source="origin-%d" % n, name=clone,
                   if_exists="replace")
            c.call("disk_resize", name=clone, size=rnd.randrange(4 * MiB))
            c.call("disk_resize", name=clone, size=4 * MiB)
            c.call("disk_clone", source="origin-%d" % n, name=clone,
                   if_exists="replace")
            made[clone] = origin[n]
        elif what == "set":
            c.answer("disk_set", name="copy-%d" % rnd.randrange(6),
                     readonly=rnd.random() < 0.5,
                     quota=rnd.choice([None, MiB]))
        elif what == "look":
            c.answer("disk_diff", a=name, b="copy-%d" % rnd.randrange(6))
            c.answer("disk_info", name=name)
            c.answer("disk_extents", name=name, sharing=True)
        elif what == "new origin" and rnd.random() < 0.2:
            seed += 2
            new_origin(c, n, seed)
        else:
            continue
        with made_lock:
            did[what] = did.get(what, 0) + 1
        time.sleep(0.001)       # leave fio some of the machine

def writer():
    """Writes to copies of fio's disks: these must not notice."""
    rnd = random.Random(1000)
    while not stop.is_set():
        h = connect("copy-%d" % rnd.randrange(6))
        try:
            for i in range(20):
                h.pwrite(rnd.randbytes(5000), rnd.randrange(FIO - 5000))
        except nbd.Error as e:  # read-only, its quota, or still small
            check("errno", e.errno in ("EPERM", "EROFS", "ENOSPC"), True)
        h.shutdown()

c = Control()
for n in range(2):
    new_origin(c, n, n)
threads = [guarded(client, *job) for job in JOBS]
threads += [guarded(changer, n) for n in range(2)]
threads += [guarded(writer)]
stop.wait(SECONDS)
stop.set()
for t in threads:
    t.join()
check("failures", failures, [])
print("runs of fio:", runs)
print("calls:", did)
for name, n in runs.items():
    check("fio has run on " + name, n > 0, True)

wanted = {}
for name, seed in sorted(made.items()):
    if seed not in wanted:
        wanted[seed] = content(seed)
    h = connect(name)
    check("size of " + name, h.get_size(), 4 * MiB)
    check("content of " + name, read_all(h, 4 * MiB) == wanted[seed], True)
    h.shutdown()
print("clones compared:", len(made))
check("clones were compared", len(made) > 0, True)
for name in c.names():
    c.call("disk_destroy", name=name)
c.wait("all memory comes back", lambda: c.call("stats")["arena"]["used"] == 0)
END
