#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# While a server saves to a folder again and again, and so removes the files of
# the save before, another one can load from it: each load succeeds, and has the
# disks as they were at one instant.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control
start_server t "$mramdisk" size=1M control="$tmp/t.control"
loader=$pid python <<'END'
from controltest import *
import random
import signal
DIR, LOADER = os.environ["tmp"] + "/saved", int(os.environ["loader"])
LOADS, SIZE, OTHERS = 60, 64 * KiB, 300
enough, saves = threading.Event(), 0

def ended(c, method, job):
    j = c.call("job_wait", job=job, seconds=50)
    check("state of %s (%s)" % (method, j["error"]), j["state"], "done")

def save():
    """All of both disks is always the number of the save."""
    global saves
    c = Control()
    for i in range(OTHERS):     # a manifest that takes a while to read
        c.call("disk_create", name="other-%d" % i, size=4096)
    disks = connect("a"), connect("b")
    while not enough.is_set():
        for h in disks:
            h.pwrite((saves + 1).to_bytes(8, "little") * (SIZE // 8), 0)
        ended(c, "disk_save", c.call("disk_save", path=DIR)["job"])
        saves += 1

def more_saves(n):
    n += saves
    while saves < n and saver.is_alive():
        time.sleep(0.001)

def load():
    """Stopped on its way, at some place, until the files are other ones."""
    job = c.call("disk_load", path=DIR, patterns=["a", "b"],
                 if_exists="replace")["job"]
    time.sleep(random.uniform(0, 0.004))
    os.kill(LOADER, signal.SIGSTOP)
    try:
        more_saves(2)
    finally:
        os.kill(LOADER, signal.SIGCONT)
    ended(c, "disk_load", job)

def content(name):
    h = connect(name, server="t")
    data = bytes(h.pread(SIZE, 0))
    h.shutdown()
    return {data[i:i + 8] for i in range(0, SIZE, 8)}

saver = Thread(target=save)
saver.start()
try:
    more_saves(1)
    c = Control(os.environ["tmp"] + "/t.control")
    for i in range(LOADS):
        least = saves
        if not saver.is_alive():
            break               # join says why
        load()
        found = content("a") | content("b")
        check("saves that the disks are of", len(found), 1)
        n = int.from_bytes(found.pop(), "little")
        # A save is visible a moment before its job has ended.
        check("save %d, from %d to %d" % (n, least, saves + 1),
              least <= n <= saves + 1, True)
finally:
    enough.set()
    saver.join()
check("disks", c.names(), ["a", "b"])
END
