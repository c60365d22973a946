#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The life cycle under load: while clients write and verify, the control socket
# clones, resizes, replaces, walks and destroys disks at random.  Disks that are
# not touched stay intact, clones are of one instant, and nothing fails.

. "$(dirname "$0")/../functions.sh"

serve size=4M control=control parallel=yes
python <<'END'
from controltest import *
import random
import threading
SECONDS = float(os.environ.get("MBLOCK_LOAD_SECONDS", "3"))
end = time.monotonic() + SECONDS
failures = []

def guarded(fn, *args):
    def run():
        try:
            fn(*args)
        except BaseException as e:
            failures.append((fn.__name__, args, e))
    t = threading.Thread(target=run)
    t.start()
    return t

def owner(n):
    """Writes a counter to all of the disk, page after page, and reads back."""
    rnd = random.Random(n)
    h = connect("work-%d" % n)
    value = [0] * 1024
    while time.monotonic() < end:
        page, value_now = rnd.randrange(1024), rnd.randrange(1, 1 << 32)
        h.pwrite(struct.pack("<I", value_now) * 1024, page * PAGE)
        value[page] = value_now
        page = rnd.randrange(1024)
        check("work-%d, page %d" % (n, page), h.pread(PAGE, page * PAGE),
              struct.pack("<I", value[page]) * 1024)

def changer(n):
    rnd = random.Random(100 + n)
    c = Control()
    while time.monotonic() < end:
        src, dst = "work-%d" % rnd.randrange(3), "copy-%d" % rnd.randrange(4)
        what = rnd.randrange(6)
        if what <= 1:
            c.call("disk_clone", source=src, name=dst, if_exists="replace",
                   quota=rnd.choice([None, 1 * MiB]))
        elif what == 2:
            c.answer("disk_resize", name=dst, size=rnd.randrange(8 * MiB))
        elif what == 3:
            c.answer("disk_destroy", name=dst)
        elif what == 4:
            c.answer("disk_diff", a=src, b=dst)
            c.answer("disk_info", name=dst)
        else:
            c.answer("disk_extents", name=dst, sharing=True)
            c.call("stats")

def user(n):
    """Pages of a clone are whole: nobody sees one half written."""
    rnd = random.Random(200 + n)
    while time.monotonic() < end:
        h = connect("copy-%d" % rnd.randrange(4))
        for i in range(20):
            page = rnd.randrange(1024)
            try:
                data = h.pread(PAGE, page * PAGE)
                if i % 4 == 0:
                    h.pwrite(data, rnd.randrange(1024) * PAGE)
            except nbd.Error as e:      # shrunk, or its quota
                check("errno", e.errno in ("EINVAL", "ENOSPC"), True)
                continue
            # The end of a disk may have cut it, and a grow zeroed the rest.
            words = set(struct.unpack("<1024I", data)) - {0}
            if len(words) > 2:
                raise SystemExit("FAIL: a page of %d values" % len(words))
        h.shutdown()

c = Control()
for n in range(3):
    c.call("disk_create", name="work-%d" % n)
threads = [guarded(owner, n) for n in range(3)]
threads += [guarded(changer, n) for n in range(2)]
threads += [guarded(user, n) for n in range(2)]
for t in threads:
    t.join()
check("failures", failures, [])
for name in c.names():
    c.call("disk_destroy", name=name)
c.wait("all memory comes back", lambda: c.call("stats")["arena"]["used"] == 0)
END
