# SPDX-License-Identifier: BSD-3-Clause
"""Kill a RAM disk's server with SIGKILL at random moments, restart it with the
same arena=, and compare all disks with a shadow of them (shadowdisks.py).  For
test-control-kill.sh:  nbdsh -c 'exec(open("kill-shadow.py").read())', with
in $KILL: rounds, seconds at most, seed, and the command of the server.
"""

import random
import subprocess
import threading

from controltest import Control
from shadowdisks import Shadow

MOST_DISKS = 6
MOST_MS = 250           # of a round, at first
MOST_MS_EVER = 1000
FEW_ROUNDS = 5          # they may do nothing


class Worker(Shadow):
    def __init__(self, number, seed):
        super().__init__("w%d-" % number, random.Random(seed * 100 + number),
                         MOST_DISKS)
        self.count = 0

    def run(self):
        """Until the server is killed."""
        try:
            self.open()
            while True:
                self.step()
                self.count += 1
        except (nbd.Error, OSError, EOFError) as e:
            if not killed.is_set():
                failures.append("%s: %s: %s" % (self.prefix, self.what, e))
        except (Exception, SystemExit) as e:
            failures.append("%s: %s: %r" % (self.prefix, self.what, e))


def operations():
    return sum(w.count for w in workers)


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


def compare(workers):
    c = Control()
    for w in workers:
        w.control = c
        w.compare()
    check("disks of nobody", [n for n in c.names() if n[:1] != "w"], [])
    return c


rounds, seconds, seed, *command = os.environ["KILL"].split("\n")
rounds, seconds, seed = int(rounds), int(seconds), int(seed)
print("seed", seed)
pick = random.Random(seed)
workers = [Worker(i, seed) for i in range(3)]
failures = []
most_ms = MOST_MS
begin = time.monotonic()
server = start()
try:
    for n in range(rounds):
        killed = threading.Event()
        before, ms = operations(), pick.randrange(most_ms)
        threads = [threading.Thread(target=w.run, daemon=True) for w in workers]
        for t in threads:
            t.start()
        time.sleep(ms / 1000)
        killed.set()
        server.kill()
        server.wait()
        for t in threads:
            t.join(60)
            check("a worker has ended", t.is_alive(), False)
        if failures:
            raise SystemExit("FAIL: " + failures[0])
        # On a slow machine, most_ms is too short for the workers to begin.
        if operations() == before and ms > most_ms / 2:
            most_ms = min(2 * most_ms, MOST_MS_EVER)
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
    print("%d rounds, %d operations" % (n + 1, operations()))
    if n >= FEW_ROUNDS and operations() <= n:
        raise SystemExit("FAIL: the workers have done hardly anything")
finally:
    server.kill()
    server.wait()
