# SPDX-License-Identifier: BSD-3-Clause
"""Kill a RAM disk's server with SIGKILL at random moments, restart it with the
same arena=, and compare all disks with a shadow of them.  For
test-control-kill.sh:  nbdsh -c 'exec(open("kill-shadow.py").read())', with
in $KILL: rounds, seconds at most, seed, and the command of the server.

Each worker has names of its own, one connection to the control socket, and one
to each of its disks.  It writes down what it is about to do, as the state that
its disks have if that is done.  What was answered must be there.  A control
operation that was cut short is done completely or not at all; of a request each
byte is the old one or the new one.
"""

import json
import random
import signal
import subprocess
import sys
import threading

from controltest import Control

MOST_DISKS = 6
SIZES = [64 * KiB, 256 * KiB, MiB, MiB + 512]
MOST_MS = 250


class Disk:
    def __init__(self, size, readonly=False):
        self.data = bytearray(size)
        self.readonly = readonly

    def copy(self, readonly):
        d = Disk(0, readonly)
        d.data = bytearray(self.data)
        return d


class Worker:
    def __init__(self, number, seed):
        self.prefix = "w%d-" % number
        self.random = random.Random(seed * 100 + number)
        self.disks = {}         # what holds, by name
        self.after = None       # or this, if the operation was done
        self.range = None       # or a part of it: disk, offset, length
        self.what = "nothing"
        self.count = 0

    # ------------------------------------------------------------ operations

    def run(self):
        """Until the server is killed."""
        try:
            self.control = Control()
            self.handles = {}
            while True:
                self.step()
                self.count += 1
        except (nbd.Error, OSError, EOFError) as e:
            if not killed.is_set():
                failures.append("%s: %s: %s" % (self.prefix, self.what, e))
        except (Exception, SystemExit) as e:
            failures.append("%s: %s: %r" % (self.prefix, self.what, e))

    def handle(self, name):
        if name not in self.handles:
            self.handles[name] = connect(name)
        return self.handles[name]

    def step(self):
        r = self.random
        names = sorted(self.disks)
        writable = [n for n in names if not self.disks[n].readonly]
        kind = r.choice(["write"] * 8 + ["zero", "trim"] * 2 +
                        ["create", "clone", "clone", "replace", "resize",
                         "set", "rename", "destroy"])
        if not names:
            kind = "create"
        if kind in ("write", "zero", "trim"):
            if writable:
                self.data(kind, r.choice(writable))
            return
        fresh = next(n for n in (self.prefix + str(r.randrange(1000))
                                 for i in range(1000)) if n not in self.disks)
        name = r.choice(names) if names else None
        after = dict(self.disks)
        if kind == "create" or kind == "clone":
            if len(names) >= MOST_DISKS:
                kind = "destroy"
        call = {"name": name}
        if kind == "create":
            after[fresh] = Disk(r.choice(SIZES))
            call = {"name": fresh, "size": len(after[fresh].data)}
        elif kind == "clone":
            readonly = r.random() < 0.3
            after[fresh] = self.disks[name].copy(readonly)
            call = {"source": name, "name": fresh, "readonly": readonly}
        elif kind == "replace":
            other = r.choice(names)
            if other == name:
                return
            after[other] = self.disks[name].copy(False)
            call = {"source": name, "name": other, "if_exists": "replace"}
        elif kind == "resize":
            size = r.choice(SIZES)
            d = after[name] = self.disks[name].copy(self.disks[name].readonly)
            del d.data[size:]
            d.data.extend(bytes(size - len(d.data)))
            call["size"] = size
        elif kind == "set":
            readonly = r.random() < 0.2
            after[name] = self.disks[name].copy(readonly)
            call["readonly"] = readonly
        elif kind == "rename":
            after[fresh] = after.pop(name)
            call["new_name"] = fresh
        else:
            del after[name]
        self.what = "%s %r" % (kind, call)
        self.after, self.range = after, None
        self.control.call("disk_" + {"replace": "clone"}.get(kind, kind), **call)
        self.done()
        # A connection keeps the disk, size and flag that it had.
        for n in {name, call["name"]} & set(self.handles):
            del self.handles[n]

    def data(self, kind, name):
        r = self.random
        d = self.disks[name]
        h = self.handle(name)
        offset = r.randrange(len(d.data))
        length = min(r.choice([1, 512, 4096, 5000, 65536, 300000]),
                     len(d.data) - offset)
        new = r.randbytes(length) if kind == "write" else bytes(length)
        if kind == "trim":      # whole pages only become zeros
            offset -= offset % 4096
            length = (len(d.data) - offset) // 4096 * 4096
            length = min(length, r.randrange(1, 9) * 4096)
            if length == 0:
                return
            new = bytes(length)
        self.what = "%s of %d bytes at %d of %s" % (kind, length, offset, name)
        copy = d.copy(d.readonly)
        copy.data[offset:offset + length] = new
        self.after = dict(self.disks)
        self.after[name] = copy
        self.range = name, offset, length
        if kind == "write":
            h.pwrite(new, offset)
        elif kind == "zero":
            h.zero(length, offset)
        else:
            h.trim(length, offset)
        self.done()

    def done(self):
        self.disks, self.after, self.range = self.after, None, None

    # ------------------------------------------------------------ comparison

    def difference(self, disks, listed, content):
        """None, or what differs.  content: of each disk."""
        if sorted(disks) != sorted(listed):
            return "disks: %r, expected %r" % (sorted(listed), sorted(disks))
        for name, d in disks.items():
            is_now = listed[name]["size"], listed[name]["readonly"]
            if is_now != (len(d.data), d.readonly):
                return "%s: %r, expected %r" % (name, is_now,
                                                (len(d.data), d.readonly))
            if content[name] != d.data:
                at = next(i for i in range(len(d.data))
                          if content[name][i] != d.data[i])
                return "%s: byte %d of %d" % (name, at, len(d.data))
        return None

    def judge(self, listed, content):
        mine = {n: i for n, i in listed.items() if n.startswith(self.prefix)}
        after = self.after or self.disks
        if self.range and self.range[0] in content:
            # Each byte is the old one or the new one; then it is what holds.
            name, offset, length = self.range
            old, new = self.disks[name].data, after[name].data
            now = content[name]
            end = offset + length
            if len(now) == len(old) and all(
                    now[i] in (old[i], new[i]) for i in range(offset, end)):
                new[offset:end] = now[offset:end]
        first = self.difference(after, mine, content)
        if first is None:
            self.disks = after
        else:
            second = self.difference(self.disks, mine, content)
            if second is not None:
                raise SystemExit("FAIL: after %s, which was %s: %s; %s" % (
                    self.what, "cut short" if self.after else "answered",
                    second, first))
        self.after = self.range = None


def start():
    for f in "s.sock", "s.pid":
        if os.path.exists(f):
            os.unlink(f)
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                         stderr=open("s.log", "a"))
    for i in range(6000):
        if os.path.exists("s.pid") and os.path.getsize("s.pid"):
            return p
        if p.poll() is not None:
            break
        time.sleep(0.01)
    raise SystemExit("FAIL: the server did not start: " + open("s.log").read())


def read(name, size):
    h = connect(name)
    check("size of " + name, h.get_size(), size)
    return bytearray(b"".join(h.pread(min(MiB, size - i), i)
                              for i in range(0, size, MiB)))


def compare(workers):
    c = Control()
    listed, after = {}, None
    while True:
        page = c.call("disk_list", **({"after": after} if after else {}))
        listed.update((d["name"], d) for d in page["disks"])
        after = page["next"]
        if after is None:
            break
    content = {n: read(n, d["size"]) for n, d in listed.items()}
    for w in workers:
        w.judge(listed, content)
    check("disks of nobody", [n for n in listed if n[:1] != "w"], [])
    return c


rounds, seconds, seed, *command = os.environ["KILL"].split("\n")
rounds, seconds, seed = int(rounds), int(seconds), int(seed)
print("seed", seed)
pick = random.Random(seed)
workers = [Worker(i, seed) for i in range(3)]
failures = []
begin = time.monotonic()
server = start()
try:
    for n in range(rounds):
        killed = threading.Event()
        threads = [threading.Thread(target=w.run, daemon=True) for w in workers]
        for t in threads:
            t.start()
        time.sleep(pick.randrange(MOST_MS) / 1000)
        killed.set()
        server.kill()
        server.wait()
        for t in threads:
            t.join(60)
            check("a worker has ended", t.is_alive(), False)
        if failures:
            raise SystemExit("FAIL: " + failures[0])
        server = start()
        control = compare(workers)
        if time.monotonic() - begin > seconds:
            break
    # No page is lost: without disks nothing is used.
    for w in workers:
        for name in w.disks:
            control.call("disk_destroy", name=name)
    become("memory in use", lambda: control.call("stats")["arena"]["used"] <
           64 * KiB, True)
    print("%d rounds, %d operations" % (n + 1, sum(w.count for w in workers)))
finally:
    server.kill()
    server.wait()
