#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A push that was cancelled, or whose destination was killed, is pushed again:
# the destination then has the disk's content byte for byte, also with since,
# and if the disk has changed meanwhile, or has returned to what it was.

. "$(dirname "$0")/../functions.sh"

serve size=8M control=control
start_dest () { start_server d "$mramdisk" size=9M arena="$tmp/arena"; }
start_dest
export dest=$tmp/d.sock dest_pid=$(cat d.pid)
cat >push-again.py <<'END'
from controltest import *
import random
c = Control()
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print("SEED=%d" % seed)
rng = random.Random(seed)

def uri(name):
    return "nbd+unix:///%s?socket=%s" % (name, os.environ["dest"])

def there(name):
    h = nbd.NBD()
    h.connect_uri(uri(name))
    return h

def whole(h, size):
    size = min(size, h.get_size())
    return b"".join(bytes(h.pread(min(MiB, size - i), i))
                    for i in range(0, size, MiB))

def push(name, to, **params):
    return c.call("disk_push", name=name, uri=uri(to), **params)["job"]

def ended(job, state):
    j = c.call("job_wait", job=job, seconds=600)
    check("state (%s)" % j["error"], j["state"], state)
    return j

def unfinished(name, to, **params):
    """Cancel a push at some moment."""
    job = push(name, to, rate=rng.choice((1 << 16, 1 << 20, 4 << 20)), **params)
    most = rng.choice((0, 1, 65536, 1 << 19, 1 << 20))
    c.wait("it has sent something", lambda: c.call("job_wait", job=job)["state"]
           != "running" or c.call("job_wait", job=job)["bytes_sent"] >= most)
    c.call("job_cancel", job=job)
    return c.call("job_wait", job=job, seconds=600)["state"]

def new_disk():
    c.call("disk_create", name="a", size=8 * MiB, if_exists="replace")
    connect("a").pwrite(rng.randbytes(4096), 0)

def change(name, back=None):
    h = connect(name)
    s = connect(back) if back else None
    size = h.get_size()
    for _ in range(rng.randrange(1, 40)):
        n = min(size, rng.choice((1, 4096, 65536, 200000)))
        # The first page stays, because since wants something shared.
        at = rng.randrange(4096, size - n + 1)
        k = rng.random()
        if s and k < 0.4:
            n = min(n, max(0, s.get_size() - at))
            if n:
                h.pwrite(s.pread(n, at), at)
        elif k < 0.7:
            h.pwrite(rng.randbytes(n), at)
        elif k < 0.85:
            h.trim(n, at)
        else:
            h.zero(n, at, nbd.CMD_FLAG_NO_HOLE)
    h.shutdown()

END
python <<'END'
exec(open("push-again.py").read())

states = set()
for i in range(int(os.environ.get("ROUNDS", 12))):
    new_disk()
    change("a")
    dest = rng.choice(("x", "y"))
    # What the destination has beyond the disk stays there.
    there(dest).pwrite(b"mine", 9 * MiB - 4)
    c.call("disk_clone", source="a", name="s", readonly=True,
           if_exists="replace")
    ended(push("a", dest, verify=True), "done")
    # Nothing of another push with this since is in the way.
    if rng.random() < 0.3:
        change("a")
        unfinished("a", "z", since="s")
    for _ in range(rng.randrange(1, 4)):
        change("a", "s")
        if rng.random() < 0.2:
            c.call("disk_resize", name="a", size=rng.choice(
                (7 * MiB + 4095, 8 * MiB + 100, 8 * MiB)))
        states.add(unfinished("a", dest, since="s"))
    # Some of it returns to what it was, for example all.
    if rng.random() < 0.5:
        change("a", "s")
    else:
        c.call("disk_clone", source="s", name="a", if_exists="replace")
    ended(push("a", dest, since="s"), "done")
    size = c.info("a")["size"]
    h = there(dest)
    check("round %d: byte for byte" % i, whole(h, size) ==
          whole(connect("a"), size), True)
    check("beyond", h.pread(4, 9 * MiB - 4), b"mine")
    c.call("disk_clone", source="a", name="t", readonly=True,
           if_exists="replace")
    check("nothing is remembered of what has succeeded",
          ended(push("a", dest, since="t"), "done")["bytes_sent"], 0)
check("some were cancelled", "cancelled" in states, True)

# A full push that was not finished, and then only the difference.
new_disk()
change("a")
c.call("disk_clone", source="a", name="s", readonly=True, if_exists="replace")
ended(push("a", "x"), "done")
connect("a").pwrite(rng.randbytes(4 * MiB), 0)
job = push("a", "x", rate=1 << 20)
c.wait("it has begun", lambda: c.call("job_wait", job=job)["bytes_sent"] > 0)
c.call("job_cancel", job=job)
ended(job, "cancelled")
c.call("disk_clone", source="s", name="a", if_exists="replace")
connect("a").pwrite(b"changed", 6 * MiB)
ended(push("a", "x", since="s"), "done")
check("byte for byte", whole(there("x"), 8 * MiB) ==
      whole(connect("a"), 8 * MiB), True)

# For the destination that is killed.
c.call("disk_create", name="a", size=8 * MiB, if_exists="replace")
connect("a").pwrite(rng.randbytes(8 * MiB), 0)
c.call("disk_clone", source="a", name="s", readonly=True, if_exists="replace")
ended(push("a", "k"), "done")
connect("a").pwrite(rng.randbytes(2 * MiB), MiB)
job = push("a", "k", since="s", rate=1 << 19)
c.wait("it has begun", lambda: c.call("job_wait", job=job)["bytes_sent"] > 0)
os.kill(int(os.environ["dest_pid"]), 9)
c.call("job_cancel", job=job)
ended(job, "cancelled")
END
kill_server d || :
start_dest
python <<'END'
exec(open("push-again.py").read())
# All that the first push has written is to be undone.
h, s = connect("a"), connect("s")
h.pwrite(s.pread(2 * MiB, MiB), MiB)
h.pwrite(b"changed", 0)
ended(push("a", "k", since="s"), "done")
check("byte for byte", whole(there("k"), 8 * MiB) == whole(h, 8 * MiB), True)
END
stop_server d
stop_server s
