# SPDX-License-Identifier: BSD-3-Clause
"""Those who torture a server of RAM disks: each a process with names of its
own, whose decisions follow from the seed alone."""

import collections
import os
import random
import signal
import subprocess
import time

import nbd

from controltest import ERRORS, Control
from nbdtest import KiB, MiB, check, connect, extents
from shadowdisks import SIZES, Disk, Operation, Shadow, mixed, read_all
from shadowdisks import first_difference
from servers import go_with_parent

LAST = 12                       # operations that a divergence shows
NO_ROOM_SECONDS = 300
TELL_SECONDS = 5
FIRST_KILL = 200                # operations, at most
IMAGES = 3                      # on the other server
IMAGE_SIZES = [256 * KiB, MiB, MiB + 512]
ENDING = -32603                 # the server is shutting down
# What the error of a job says when there was no room for it.
NO_ROOM = ("No space", "allocate memory", "max-memory is reached")


class Refused(Exception):
    def __init__(self, what, error):
        super().__init__("%s: %s" % (what, error["message"]))
        self.code = error["code"]


class NoRoom(Exception):
    pass


class Calls(Control):
    """A control client that tells a lack of memory from a fault."""

    def call(self, method, /, **params):
        error = self.answer(method, **params)
        if "error" not in error:
            return error["result"]
        error = error["error"]
        if error["code"] in (ERRORS["ENOSPC"], ERRORS["ENOMEM"]):
            raise NoRoom(error["message"])
        if error["code"] == ENDING:
            raise EOFError(error["message"])
        raise Refused("%s %r" % (method, params), error)

    def job(self, method, **params):
        """Run a job to its end."""
        job = self.call(method, **params)["job"]
        for i in range(60):
            j = self.call("job_wait", job=job, seconds=10)
            if j["state"] != "running":
                break
        if j["state"] == "cancelled":
            raise EOFError("the job was cancelled")
        if j["state"] != "done":
            if any(w in j["error"] for w in NO_ROOM):
                raise NoRoom(j["error"])
            raise Refused("job of %s %r" % (method, params),
                          {"code": None, "message": str(j["error"])})
        return j


def image(seed, number):
    """The content of an image on the other server."""
    r = random.Random("%d image %d" % (seed, number))
    data = bytearray(r.randbytes(IMAGE_SIZES[number % len(IMAGE_SIZES)]))
    data[64 * KiB:128 * KiB] = bytes(64 * KiB)
    return bytes(data)


class Actor:
    """plan: what all of them have in common (torture)."""

    def __init__(self, plan, number):
        self.plan = plan
        self.number = number
        self.name = "%s-%d" % (self.part, number)
        self.random = random.Random("%d %s" % (plan.seed, self.name))
        self.count = 0
        self.counts = collections.Counter()
        self.last = collections.deque(maxlen=LAST)
        self.generations = {"s": 1, "d": 1}
        self.told = 0

    def main(self, pipe):
        """In a process of its own, until the end."""
        self.pipe = pipe
        go_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            self.run()
            pipe.send(("done", self.counts))
        except (Exception, SystemExit) as e:
            text = str(e) if isinstance(e, SystemExit) else repr(e)
            pipe.send(("diverged", "operation %d: %s" % (self.count, text),
                       list(self.last)))

    def over(self):
        return self.plan.stop.is_set() or (
            self.plan.operations and self.count >= self.plan.operations)

    def note(self, what):
        """Begin an operation."""
        self.count += 1
        self.last.append("%d: %s" % (self.count, what[:200]))
        with self.plan.total.get_lock():
            self.plan.total.value += 1
        self.here()

    def here(self):
        """It does not hang."""
        now = time.monotonic()
        if now > self.told + TELL_SECONDS:
            self.told = now
            self.pipe.send(("at", self.last[-1] if self.last else "its start"))

    def kill(self, server, how):
        self.pipe.send(("kill", server, how))

    def lost(self, e):
        """After an error: it is none if a server was killed meanwhile."""
        self.pipe.send(("lost", str(e)))
        now = self.pipe.recv()
        if now == self.generations:
            raise SystemExit("FAIL: %s, but no server was killed" % (e,))
        self.generations = now


class Kills:
    """Where an actor has servers killed: by the number of its operations."""

    def __init__(self, actor, every):
        self.random = random.Random("%d %s kills" % (actor.plan.seed,
                                                     actor.name))
        self.actor = actor
        self.every = every
        self.next = self.random.randrange(min(every, FIRST_KILL))
        self.begun = False

    def look(self):
        if self.actor.count < self.next:
            return
        r = self.random
        self.next = self.actor.count + r.randrange(1, 2 * self.every)
        what = r.choice("sssd"), r.choice(["kill", "kill", "kill", "stop"])
        self.actor.kill(*(what if self.begun else ("s", "kill")))
        self.begun = True


class Disks(Actor, Shadow):
    """Manages disks and uses them, with all operations that there are."""

    part = "disks"
    client = Calls
    lengths = [1, 512, 4096, 5000, 65536, 256 * KiB]
    kinds = {"write": 30, "read": 25, "zero": 5, "trim": 5, "create": 2,
             "clone": 7, "replace": 4, "resize": 4, "set": 3, "rename": 4,
             "destroy": 2, "reset": 3, "together": 2, "leave": 6,
             "extents": 4, "flush": 2, "push": 1, "pull": 1, "over": 1,
             "save": 1, "load": 1}

    def __init__(self, plan, number):
        Actor.__init__(self, plan, number)
        Shadow.__init__(self, "%s%d-" % (self.part[0], number), self.random,
                        max(4, plan.disks // plan.actors))
        self.kills = Kills(self, plan.kill_every) if plan.kill_every else None
        self.saved = {}

    # ----------------------------------------------------------- the process

    def run(self):
        self.begin()
        while not self.over():
            op = self.choose()
            if op is None:
                continue
            self.note(op.what)
            if self.kills:
                self.kills.look()
            self.do(op)
            self.counts[op.what.split(" ")[0].strip(":")] += 1
        self.end()

    def begin(self):
        self.open()

    def end(self):
        """All is as in the model."""
        self.again()
        self.counts["disks at the end"] = len(self.disks)

    def do(self, op):
        """Until it is done, whatever is killed."""
        begin = time.monotonic()
        while True:
            try:
                return self.perform(op)
            except (NoRoom, nbd.Error) as e:
                if isinstance(e, NoRoom) or e.errno == "ENOSPC":
                    self.counts["refused for lack of memory"] += 1
                    self.op = self.after = None         # nothing has changed
                    if op.range:
                        return None
                    if time.monotonic() - begin > NO_ROOM_SECONDS:
                        raise SystemExit("FAIL: no memory for %d seconds: %s" %
                                         (NO_ROOM_SECONDS, e))
                    time.sleep(0.05)
                    continue
                error = e
            except (OSError, EOFError, Refused) as e:
                error = e
            self.lost(error)
            self.counts["operations cut short"] += 1
            if self.again():
                return None

    def again(self):
        """Connect, and compare.  Returns whether what was cut short is done."""
        while True:
            try:
                self.open()
                return self.compare()
            except (nbd.Error, OSError, EOFError) as e:
                self.lost(e)

    # --------------------------------------------------------------- choices

    def pick_kind(self):
        if self.disks and len(self.disks) < self.most * 3 // 4 and \
                "clone" in self.kinds and self.random.random() < 0.4:
            return self.random.choice(["create", "clone", "clone", "over"])
        return super().pick_kind()

    def choose_trim(self):
        """Without memory, a trim may do nothing, for it is a hint."""
        op = super().choose_trim()
        if op is None:
            return None
        name, offset, length = op.range
        trim = op.run

        def run():
            trim()
            old, new = self.disks[name], self.after[name]
            now = bytes(self.handle(name).pread(length, old.base + offset))
            end = offset + length
            if not mixed(bytes(offset) + now, old.data, new.data, offset, end):
                raise SystemExit("FAIL: %s: it has changed to other bytes" %
                                 op.what)
            self.after = {**self.disks, name: old.with_bytes(now, offset)}
        op.run = run
        return op

    def choose_read(self):
        """Several reads in flight, by an old connection or a new one."""
        name, r = self.pick(), self.random
        size = len(self.disks[name].data)
        places = []
        for i in range(r.choice([1, 1, 2, 8])):
            offset = r.randrange(size)
            places.append((offset, min(r.choice(self.lengths), size - offset)))
        fresh = r.random() < 0.2

        def run():
            d = self.disks[name]
            h = connect(name) if fresh else self.handle(name)
            bufs = [nbd.Buffer(n) for _, n in places]
            cookies = [h.aio_pread(buf, d.base + offset)
                       for buf, (offset, _) in zip(bufs, places)]
            while h.aio_in_flight():
                h.poll(-1)
            for cookie in cookies:
                h.aio_command_completed(cookie)
            for buf, (offset, n) in zip(bufs, places):
                now = bytes(buf.to_bytearray())
                if now != d.data[offset:offset + n]:
                    raise SystemExit("FAIL: read of %s: %s" % (
                        name, first_difference(now, d.data[offset:offset + n],
                                               d.base + offset)))
        return Operation("read of %s: %r" % (name, places), run)

    def choose_flush(self):
        name = self.pick()
        return Operation("flush of " + name,
                         lambda: self.handle(name).flush())

    def choose_leave(self):
        """Close some connections, politely or not."""
        names = [n for n in sorted(self.disks) if self.random.random() < 0.3]
        polite = self.random.random() < 0.5

        def run():
            for n in names:
                h = self.handles.pop(n, None)
                if h and polite:
                    h.shutdown()
        return Operation("leave %d disks" % len(names), run)

    def choose_extents(self):
        name = self.pick()

        def run():
            d = self.disks[name]
            at = d.base - d.base % 4096
            for n, state in extents(self.handle(name), d.size() - at, at):
                begin, end = max(at - d.base, 0), at + n - d.base
                if state != "data" and any(d.data[begin:end]):
                    raise SystemExit("FAIL: %s: a %s of %d bytes at %d has "
                                     "data" % (name, state, n, at))
                at += n
        return Operation("extents of " + name, run)

    def choose_reset(self):
        uids = {d.uid: n for n, d in self.disks.items()}
        name = self.pick(lambda d: d.parent in uids)
        if name is None:
            return None
        uid, parent = self.uid(), uids[self.disks[name].parent]

        def model(disks):
            p = disks[parent]
            return {**disks, name: p.but(uid=uid, parent=p.uid,
                                         readonly=disks[name].readonly)}
        return self.call("disk_reset", model, [name], name=name)

    def choose_together(self):
        if len(self.disks) + 2 > self.most:
            return self.choose_destroy()
        sources = [self.pick(), self.pick()]
        names = [self.fresh(), self.fresh()]
        if sources[0] == sources[1] or names[0] == names[1]:
            return None
        uids = [self.uid(), self.uid()]

        def model(disks):
            disks = dict(disks)
            for source, name, uid in zip(sources, names, uids):
                d = disks[source]
                disks[name] = d.but(uid=uid, parent=d.uid, readonly=False)
            return disks
        return self.call("disk_clone_together", model, names, names,
                         sources=sources, names=names, if_exists="replace")

    # ------------------------------------------------------ the other server

    def uri(self, name):
        return "nbd+unix:///%s?socket=%s" % (name, self.plan.other.sock)

    def choose_push(self):
        """All of a disk; or its parent, and then what differs from that."""
        name, to = self.pick(), self.prefix + "pushed"
        uids = {d.uid: n for n, d in self.disks.items()}
        parent = uids.get(self.disks[name].parent)
        if self.random.random() < 0.3:
            parent = None

        def run():
            d, other = self.disks[name], Calls(self.plan.other.control)
            p = self.disks[parent] if parent else d
            size = max(d.size(), p.size())
            other.call("disk_create", name=to, size=size, if_exists="replace")
            self.control.job("disk_push", name=parent or name,
                             uri=self.uri(to))
            if parent:
                try:
                    self.control.job("disk_push", name=name, since=parent,
                                     uri=self.uri(to))
                    self.counts["push of differences"] += 1
                except Refused as e:
                    if "shares no data" not in str(e):
                        raise
                    d = p
            now = read_all(connect(to, server="d"), d.base, d.size(),
                           size)
            if now != d.data:
                raise SystemExit("FAIL: push of %s: %s" % (
                    name, first_difference(now, d.data, d.base)))
            other.call("disk_destroy", name=to)
        return Operation("push of " + name, run)

    def from_image(self, over):
        if self.full():
            return None
        name, number = self.fresh(), self.random.randrange(IMAGES)
        d = Disk(self.plan.images[number], self.uid(), over=over)
        return name, d, self.uri("image-%d" % number)

    def choose_pull(self):
        what = self.from_image(False)
        if what is None:
            return None
        name, d, uri = what
        return Operation(
            "pull %s from %s" % (name, uri),
            lambda: self.control.job("disk_pull", name=name, uri=uri),
            lambda disks: {**disks, name: d}, [name])

    def choose_over(self):
        what = self.from_image(True)
        if what is None:
            return None
        name, d, uri = what
        return self.call("disk_create", lambda disks: {**disks, name: d},
                         [name], name=name, origin=uri,
                         prefetch=self.random.random() < 0.3)

    # ---------------------------------------------------------------- folder

    def folder(self):
        return "%s/saved-%s" % (self.plan.folder, self.name)

    def choose_save(self):
        def run():
            self.control.job("disk_save", path=self.folder(),
                             patterns=[self.prefix + "*"])
            # A server with an arena does not load a disk with its origin.
            self.saved = {n: d for n, d in self.disks.items() if not d.over}
        return Operation("save", run)

    def choose_load(self):
        names = sorted(n for n in self.saved
                       if n in self.disks or not self.full())
        if not names:
            return None
        name, uid = self.random.choice(names), self.uid()
        d = self.saved[name].but(uid=uid, parent=None)
        return Operation(
            "load " + name,
            lambda: self.control.job("disk_load", path=self.folder(),
                                     patterns=[name], if_exists="replace"),
            lambda disks: {**disks, name: d}, [name])


class Crowd(Disks):
    """Connections that come and go, hundreds at a time."""

    part = "crowd"
    kinds = {"write": 3, "read": 3, "come": 10, "go": 4}
    most_open = 150

    def __init__(self, plan, number):
        super().__init__(plan, number)
        self.most = 6
        self.kills = None
        self.pool = []

    def begin(self):
        self.open()
        for i in range(self.most):
            self.do(self.choose_create())

    def open(self):
        self.pool = []
        super().open()

    def choose_come(self):
        names = [self.pick() for i in range(self.random.randrange(1, 40))]
        offset = self.random.randrange(SIZES[0] - 512)

        def run():
            for name in names:
                d, h = self.disks[name], connect(name)
                check("read of " + name, bytes(h.pread(512, d.base + offset)),
                      bytes(d.data[offset:offset + 512]))
                self.pool.append(h)
                self.counts["connections"] += 1
            del self.pool[:-self.most_open]
        return Operation("come: %d connections" % len(names), run)

    def choose_go(self):
        n, how = self.random.randrange(60), self.random.randrange(3)

        def run():
            for h in self.pool[:n]:
                if how == 0:
                    h.shutdown()
                elif how == 1:          # with a request in flight
                    h.aio_pread(nbd.Buffer(512), 0)
            del self.pool[:n]
        return Operation("go: %d connections" % n, run)


class Ballast(Actor):
    """Fills the memory, and lets go of it."""

    part = "ballast"
    size = 256 * KiB

    def run(self):
        while not self.over():
            try:
                self.control = Calls()
                self.control.call("disk_create", name="ballast",
                                  size=1024 * MiB, if_exists="replace")
                self.h = connect("ballast")
                while not self.over():
                    self.fill()
            except NoRoom:
                time.sleep(0.05)
            except (nbd.Error, OSError, EOFError) as e:
                self.lost(e)

    def fill(self):
        n = 0
        self.note("fill")
        try:
            while n < 4096 and not self.plan.stop.is_set():
                self.h.pwrite(bytes([n % 255 + 1]) * self.size, n * self.size)
                n += 1
                self.here()
        except nbd.Error as e:
            if e.errno != "ENOSPC":
                raise
        self.counts["times that memory was full"] += 1
        for i in range(50 if n else 0):
            at = self.random.randrange(n)
            check("ballast", bytes(self.h.pread(16, at * self.size)),
                  bytes([at % 255 + 1]) * 16)
        self.h.trim(1024 * MiB, 0)
        seen = self.plan.total.value
        while self.plan.total.value < seen + 100 and not self.over():
            time.sleep(0.02)


class Clients(Actor):
    """nbd-shadow on a disk: many requests at the same time, which overlap, and
    connections that are lost and made again."""

    part = "clients"

    def run(self):
        name = "n%d" % self.number
        self.create(name)
        while not self.over():
            self.note("nbd-shadow")
            self.shadow(name)

    def create(self, name):
        while True:
            try:
                return Calls().call("disk_create", name=name, size=4 * MiB,
                                    if_exists="ignore")
            except NoRoom:
                time.sleep(0.05)
            except (OSError, EOFError) as e:
                self.lost(e)

    def shadow(self, name):
        r, plan = self.random, self.plan
        p = subprocess.Popen(
            [plan.build + "/tests/nbd-shadow", "--requests=%d" %
             r.choice([2000, 20000]), "--seed=%d" % r.randrange(1 << 30),
             "--connections=%d" % r.choice([1, 3]),
             "--depth=%d" % r.choice([4, 16]), "--reconnect=120",
             "--keep-content",
             "nbd+unix:///%s?socket=%s/s.sock" % (name, os.environ["tmp"])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while True:
            try:
                out = p.communicate(timeout=0.5)[0]
                break
            except subprocess.TimeoutExpired:
                self.here()
                if self.plan.stop.is_set():
                    p.terminate()
        if "at the start" in out:       # it has not connected yet
            self.lost(out.strip())
        elif p.returncode != 0:
            raise SystemExit("FAIL: nbd-shadow: " + out.strip())
        else:
            count_shadow(self.counts, out)


def count_shadow(counts, out):
    """Add what nbd-shadow says of itself."""
    words = out.splitlines()[-1].split(", ")
    values = dict(w.rsplit(" ", 1) for w in words if w[-1].isdigit())
    for what in "reads", "writes", "zeroes", "trims", "flushes":
        counts["requests of nbd-shadow"] += int(values.get(what, 0))
