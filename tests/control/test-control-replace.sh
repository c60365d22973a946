#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A clone or a new disk can replace another in one step: no connection ever
# finds the name missing, or a mixture of both disks.

. "$(dirname "$0")/../functions.sh"

serve auto-create=no control=control disk=gold-0,size=1M disk=gold-1,size=2M \
  disk=box,size=1M
python <<'END'
from controltest import *
import threading
c = Control()
for i in range(2):
    connect("gold-%d" % i).pwrite(bytes([65 + i]) * MiB, 0)
c.call("disk_clone", source="gold-0", name="box", if_exists="replace")

before = connect("box")
before.pwrite(b"mine", 0)
check("replace", c.call("disk_clone", source="gold-1", name="box",
      if_exists="replace"), {"name": "box", "created": True, "replaced": True})
check("who is connected keeps the old one", before.pread(5, 0), b"mineA")
check("the others get the new one", connect("box").pread(5, 0), b"BBBBB")

stop = threading.Event()
seen, failures = set(), []
def opener():
    try:
        while not stop.is_set():
            h = connect("box")
            seen.add((h.get_size(), bytes(h.pread(1, 0)),
                      bytes(h.pread(1, 1 * MiB - 1))))
            h.shutdown()
    except Exception as e:
        failures.append(e)
threads = [threading.Thread(target=opener) for i in range(4)]
for t in threads:
    t.start()
for i in range(2000):
    c.call("disk_clone", source="gold-%d" % (i % 2), name="box",
           if_exists="replace")
    if i % 10 == 0:
        c.call("disk_create", name="box", size=4 * MiB, if_exists="replace")
stop.set()
for t in threads:
    t.join()
check("failures", failures, [])
wrong = seen - {(1 * MiB, b"A", b"A"), (2 * MiB, b"B", b"B"),
                (4 * MiB, b"\0", b"\0")}
check("mixtures", wrong, set())
check("names", c.names(), ["box", "gold-0", "gold-1"])
before.shutdown()
# Their memory went with them: what is left are the originals.
c.call("disk_destroy", name="box")
c.wait("memory", lambda: c.call("stats")["arena"]["used"] < 2.2 * MiB)
END
