# SPDX-License-Identifier: BSD-3-Clause
"""Servers in a row, of which those behind are killed, under nbd-shadow: mnbd,
the filter's mirror and cache, and origins."""

import os
import random
import shutil
import signal
import subprocess

from actors import Actor, Calls, Refused, count_shadow
from nbdtest import KiB, MiB
from servers import Died, Process, wait_until

SIZES = [MiB, 2 * MiB, 4 * MiB]
PROGRESS = 50                   # requests between two looks at the plan


class Chains(Actor):
    part = "chains"

    def run(self):
        self.folder = "%s/%s" % (self.plan.folder, self.name)
        self.kinds = sorted(n[len("chain_"):] for n in dir(self)
                            if n.startswith("chain_"))
        while not self.over():
            kind = self.random.choice(self.kinds)
            self.servers = []
            shutil.rmtree(self.folder, ignore_errors=True)
            os.mkdir(self.folder)
            try:
                getattr(self, "chain_" + kind)()
            except Died as e:
                raise SystemExit("FAIL: %s: %s" % (kind, e))
            finally:
                for s in reversed(self.servers):
                    s.end()
            self.counts["chains: " + kind] += 1

    # --------------------------------------------------------------- servers

    def process(self, id, *command):
        p = Process(self.folder, id, command)
        self.servers.append(p)
        p.start()
        return p

    def nbdkit(self, id, *arguments):
        path = "%s/%s" % (self.folder, id)
        return self.process(id, "nbdkit", "-f", "-U", path + ".sock", "-P",
                            path + ".pid", *arguments)

    def plugin(self, name):
        return "%s/%s.so" % (self.plan.build, name)

    def upstream(self, size):
        """A server that loses what was not flushed."""
        path, r = self.folder + "/u", self.random
        options = ["--size=%d" % size, "--writeback=%d" % r.choice([0, 1, 3])]
        # Both are drawn, whatever the first is.
        options += [o for o in ("--multi-conn", "--no-fua") if r.random() < 0.5]
        return self.process("u", self.plan.build + "/tests/nbd-volatile-server",
                            "--unix=%s.sock" % path, "--image=%s.img" % path,
                            "--pidfile=%s.pid" % path, *options)

    def outage(self, upstream):
        what = self.random.choice(["kill", "kill", "power cut", "drop"])
        self.counts["upstreams: " + what] += 1
        if what == "kill":
            self.restart(upstream)
        else:
            upstream.process.send_signal(
                signal.SIGUSR1 if what == "power cut" else signal.SIGUSR2)

    def restart(self, server):
        server.kill()
        server.start()

    # ---------------------------------------------------------------- client

    def uri(self, id="s"):
        return "nbd+unix:///?socket=%s/%s.sock" % (self.folder, id)

    def shadow(self, what, outage, *options):
        """Run nbd-shadow on server s, with outages at some of its requests."""
        r = self.random
        requests = r.choice([1500, 4000])
        plan = sorted(r.randrange(requests) for i in range(r.randrange(1, 9)))
        command = [self.plan.build + "/tests/nbd-shadow",
                   "--requests=%d" % requests, "--progress=%d" % PROGRESS,
                   "--seed=%d" % r.randrange(1 << 30),
                   "--connections=%d" % r.choice([1, 2, 5]),
                   "--depth=%d" % r.choice([1, 4, 16]),
                   "--max-length=%d" % r.choice([512, 16 * KiB, 256 * KiB]),
                   "--flush=%d" % r.choice([1, 5, 15]), *options, self.uri()]
        self.note("%s: %s" % (what, " ".join(command[1:-1])))
        with open(self.folder + "/shadow.err", "w") as err, subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=err, text=True) as p:
            for line in p.stdout:
                words = line.split()
                if words[1:] == ["requests"]:
                    while plan and plan[0] <= int(words[0]):
                        plan.pop(0)
                        outage()
                    self.here()
        if p.returncode != 0:
            with open(self.folder + "/shadow.err") as err:
                raise SystemExit("FAIL: %s: nbd-shadow: %s; %s" % (
                    what, err.read().strip()[:500], self.logs()))
        count_shadow(self.counts, line)

    def logs(self):
        return " / ".join("%s: %s" % (s.id, s.log_end()) for s in self.servers)

    def flushed(self, what, upstream):
        """What was flushed last is in the upstream's file."""
        upstream.kill()
        with open(self.folder + "/dump", "rb") as a, \
                open(self.folder + "/u.img", "rb") as b:
            if a.read() != b.read():
                raise SystemExit("FAIL: %s: what was flushed is not in the "
                                 "file; %s" % (what, self.logs()))

    # ---------------------------------------------------------------- chains

    def chain_forward(self):
        r = self.random
        u = self.upstream(r.choice(SIZES))
        s = self.nbdkit("s", self.plugin("mnbd"), "socket=" + u.sock,
                        "reconnect=60", "connections=%d" % r.choice([1, 2, 8]),
                        "replay-buffer=" + r.choice(["64K", "1M", "64M"]))
        self.shadow("forward", lambda: self.outage(u),
                    "--trim-zeroes", "--dump=%s/dump" % self.folder)
        self.flushed("forward", u)
        s.stop()

    def chain_arena(self):
        """mnbd over a RAM disk, which is killed and loses nothing."""
        u = self.nbdkit("u", self.plugin("mramdisk"), "size=2M",
                        "arena=%s/arena" % self.folder, "arena-wait=60")
        s = self.nbdkit("s", self.plugin("mnbd"), "socket=" + u.sock,
                        "reconnect=60")
        self.shadow("arena", lambda: self.restart(u))
        s.stop()

    def chain_mirror(self):
        size = self.random.choice(SIZES)
        u = self.upstream(size)
        s = self.nbdkit("s", "--filter=" + self.plugin("mnbd-filter"),
                        self.plugin("mramdisk"), "size=%d" % size,
                        "mnbd-socket=" + u.sock, "mnbd-mode=mirror",
                        "mnbd-control=%s/control" % self.folder,
                        "mnbd-connections=3")
        self.shadow("mirror", lambda: self.outage(u),
                    "--trim-zeroes", "--dump=%s/dump" % self.folder)
        control = Calls(self.folder + "/control")

        def status():
            self.here()
            return control.call("mirror_status")["mirrors"][0]

        def verified():
            """An outage that the mirror had not noticed ends a comparison."""
            if status()["state"] != "synchronised":
                return False
            try:
                control.call("mirror_verify")
            except Refused:
                return False
            wait_until("the comparison",
                       lambda: not status()["verify"]["running"])
            return not status()["verify"]["error"]
        wait_until("a synchronised mirror, and a comparison to its end; " +
                   self.logs(), verified)
        v = status()["verify"]
        if v["bytes_differing"]:
            raise SystemExit("FAIL: mirror: verify: %r" % v)
        stopped = control.call("mirror_stop")
        if not stopped["consistent"]:
            raise SystemExit("FAIL: mirror: stop: %r" % stopped)
        self.flushed("mirror", u)
        s.stop()

    def chain_cache(self):
        r = self.random
        size = r.choice(SIZES)
        u = self.upstream(size)
        options = ["mnbd-cache=" + r.choice(["writeback", "writethrough"])]
        if r.random() < 0.5:
            options.append("mnbd-cache-max=1M")
        if r.random() < 0.3:
            options.append("max-memory=1M")
        s = self.nbdkit("s", "--filter=" + self.plugin("mnbd-filter"),
                        self.plugin("mramdisk"), "size=%d" % size,
                        "mnbd=" + self.uri("u"), "mnbd-mode=cache",
                        "mnbd-reconnect=60", *options)
        self.shadow("cache", lambda: self.outage(u),
                    "--trim-zeroes", "--dump=%s/dump" % self.folder)
        self.flushed("cache", u)
        u.start()               # what was dirty has nowhere else to go
        s.stop()

    def chain_origin(self):
        """A disk over an image whose server is killed."""
        r = self.random
        data = random.Random(r.randrange(1 << 30)).randbytes(2 * MiB)
        path = self.folder + "/image"
        with open(path, "wb") as f:
            f.write(data)
        u = self.nbdkit("u", "-r", "file", path)
        s = self.nbdkit("s", self.plugin("mramdisk"), "max-memory=16M",
                        "origin-memory=" + r.choice(["1M", "8M"]),
                        "default=d", "disk=d,origin=" + self.uri("u"))
        self.shadow("origin", lambda: self.restart(u), "--keep-content")
        with open(path, "rb") as f:
            if f.read() != data:
                raise SystemExit("FAIL: origin: the image has changed")
        s.stop()
