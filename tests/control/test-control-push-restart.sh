#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A push that was killed with its server is pushed again with since after the
# restart, from an arena: the destination then has the disk's content byte for
# byte, also where the disk has returned to what the snapshot has.

. "$(dirname "$0")/../functions.sh"

start_disks () { serve size=8M arena="$tmp/arena" control=control; }
start_server d "$mramdisk" size=9M
export dest=$tmp/d.sock
cat >push-restart.py <<'END'
from controltest import *
import random
c = Control()
seed = int(os.environ["SEED"])
rng = random.Random(seed)

def uri(name):
    return "nbd+unix:///%s?socket=%s" % (name, os.environ["dest"])

def whole(h):
    return b"".join(bytes(h.pread(MiB, i)) for i in range(0, 8 * MiB, MiB))

def there(name):
    h = nbd.NBD()
    h.connect_uri(uri(name))
    return h

def push(name, to, **params):
    return c.call("disk_push", name=name, uri=uri(to), **params)["job"]

def ended(job, state="done"):
    j = c.call("job_wait", job=job, seconds=600)
    check("state (%s)" % j["error"], j["state"], state)
    return j

def clone(source, name):
    c.call("disk_clone", source=source, name=name, readonly=name != "a",
           if_exists="replace")

def same(to):
    check("%s byte for byte" % to, whole(there(to)) == whole(connect("a")),
          True)
END
export SEED=${SEED:-$RANDOM}
echo "SEED=$SEED"

step "a push is killed, with its server"
start_disks
python <<'END'
exec(open("push-restart.py").read())
c.call("disk_create", name="a", size=8 * MiB)
h = connect("a")
h.pwrite(rng.randbytes(6 * MiB), 0)
there("x").pwrite(b"mine", 9 * MiB - 4)
clone("a", "s")
clone("a", "unused")
for to in "x", "y":
    ended(push("a", to))
h.pwrite(rng.randbytes(2 * MiB), rng.randrange(4096, 4 * MiB))
h.zero(MiB, 5 * MiB)
h.pwrite(rng.randbytes(MiB // 2), 7 * MiB)      # where the snapshot has nothing
job = push("a", "x", since="s", rate=1 << 21)
c.wait("it has begun", lambda: c.call("job_wait", job=job)["bytes_sent"] > 0)
END
kill_server s
start_disks

step "the disk returns to what it was, but for one byte; the snapshot is renamed"
python <<'END'
exec(open("push-restart.py").read())
clone("s", "a")
connect("a").pwrite(b"changed", 6 * MiB - 7)
c.call("disk_rename", name="s", new_name="t")
END
stop_server s
start_disks
python <<'END'
exec(open("push-restart.py").read())
check("x had something else", whole(there("x")) != whole(connect("a")), True)
job = ended(push("a", "x", since="t"))
same("x")
check("beyond", there("x").pread(4, 9 * MiB - 4), b"mine")
sent = ended(push("a", "x", since="t"))["bytes_sent"]
check("what is there is not sent again", sent, 0)

# Nothing of another export's content is taken for an unfinished push.
h = there("z")
for i in range(8):              # libnbd 1.16 respects the maximum
    h.pwrite(os.urandom(MiB), i * MiB)
j = ended(push("a", "z", since="t"), "failed")
check("refused", j["error"].startswith("since: the destination does not have "
                                       "the content of that snapshot"), True)

# A snapshot that no push had as its since is not compared with everything.
j = ended(push("a", "y", since="unused"))
check("only what differs", j["bytes_total"] < 64 * 1024, True)
same("y")
END
stop_server s

step "a disk that has become smaller"
start_disks
python <<'END'
exec(open("push-restart.py").read())
c.call("disk_resize", name="a", size=7 * MiB + 512)
job = push("a", "x", since="t", verify=True)
ended(job)
h = there("x")
check("what the older disk had beyond the end",
      h.pread(MiB - 512, 7 * MiB + 512), bytes(MiB - 512))
check("beyond", h.pread(4, 9 * MiB - 4), b"mine")
END
stop_server s
