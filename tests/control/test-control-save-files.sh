#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# However often a folder is saved to, it has a limited number of files, and
# neither a save nor a load needs more than two descriptors for each.

. "$(dirname "$0")/../functions.sh"

ulimit -n 256
serve size=1M control=control max-connections=8
export dir=$tmp/saved
python <<'END'
from controltest import *
c = Control()
DIR = os.environ["dir"]
moved = []

def save():
    j = c.call("job_wait", job=c.call("disk_save", path=DIR)["job"],
               seconds=600)
    check("state (%s)" % j["error"], j["state"], "done")
    moved.append(j["bytes_sent"] // 4096)

# Each save adds a file, and all of them stay in use.
for i in range(200):
    h = connect("d%03d" % i)
    h.pwrite(pattern(4096, i), 0)
    h.shutdown()
    save()
    files = [f for f in os.listdir(DIR) if f.startswith("mblock-data-")]
    check("files after %d saves" % (i + 1), len(files) <= 64, True)
# Each page is moved a few times, not with each save.
check("pages written: %r" % moved, sum(moved) <= 200 * 4, True)
# Of files with as much in use as others only half is moved, too.
check("pages at once: %r" % moved, max(moved) <= 34, True)
save()
check("again", moved[-1], 0)
END
stop_server s

# The server may have more descriptors than it begins with.
ulimit -Sn 64
serve size=1M control=control load=saved max-connections=8
ulimit -Sn 256
python <<'END'
from controltest import *
c = Control()
check("disks", len(c.names()), 200)
for i in range(200):
    h = connect("d%03d" % i)
    check("disk %d" % i, h.pread(8192, 0) == pattern(4096, i) + bytes(4096),
          True)
    h.shutdown()
END
stop_server s

# There is no room for a copy of half of them: then all are kept.  First, it
# seems that there is.
mkdir small
if ! mount -t tmpfs -o size=26M mblock-test small 2>refused; then
  echo "left out: a full file system: $(cat refused)"
  exit 0
fi
at_exit umount -l small
serve size=4M control=control
export dir=$tmp/small/saved
python <<'END'
import subprocess

from controltest import *
c = Control()
DIR = os.environ["dir"]

def save(name, size=256 << 10):
    h = connect(name)
    h.pwrite(pattern(size, int(name[1:])), 0)
    h.shutdown()
    j = c.call("job_wait", job=c.call("disk_save", path=DIR)["job"],
               seconds=600)
    check("state (%s)" % j["error"], j["state"], "done")
    return len([f for f in os.listdir(DIR) if f.startswith("mblock-data-")])

for i in range(64):
    check("files", save("d%02d" % i), i + 1)
st = os.statvfs(DIR)
room = st.f_bavail * st.f_frsize
check("room for half: %d" % room, 8 * MiB < room < 10 * MiB, True)
check("files", save("d64", 2 * MiB), 65)
check("files", save("d65"), 66)
subprocess.run(["mount", "-o", "remount,size=64M", os.path.dirname(DIR)],
               check=True)
check("files", save("d66"), 33)
END
stop_server s

# Of a file little is in use, but there is no room to write that anew: then the
# file stays, until there is.
mkdir full
mount -t tmpfs -o size=16M mblock-test full
at_exit umount -l full
serve size=16M control=control
export dir=$tmp/full/saved
python <<'END'
import random, subprocess

from controltest import *
c = Control()
DIR = os.environ["dir"]
FULL = os.path.dirname(DIR)
rng = random.Random(1)
shadow = bytearray(16 * MiB)

def save(offset, size, moved=0):
    h = connect("d")
    shadow[offset:offset + size] = rng.randbytes(size)
    h.pwrite(shadow[offset:offset + size], offset)
    h.shutdown()
    j = c.call("job_wait", job=c.call("disk_save", path=DIR)["job"],
               seconds=600)
    check("state (%s)" % j["error"], j["state"], "done")
    check("sent", j["bytes_sent"], size + moved)
    return sorted(f for f in os.listdir(DIR) if f.startswith("mblock-data-"))

def room():
    st = os.statvfs(DIR)
    return st.f_bavail * st.f_frsize

def files(*numbers):
    return ["mblock-data-%d" % n for n in numbers]

# Of the first file, 3 of 8 MiB stay in use.
check("files", save(0, 8 * MiB), files(1))
check("files", save(0, 5 * MiB), files(1, 2))
# There is no room for the 3 MiB.
check("room: %d" % room(), MiB < room() < 3 * MiB, True)
check("files", save(0, 4096), files(1, 2, 3))
# There is, but then not for what is new; what was written until then does not
# count.
subprocess.run(["mount", "-o", "remount,size=16960K", FULL], check=True)
check("room: %d" % room(), 3 * MiB < room() < 4 * MiB, True)
check("files", save(4096, MiB), files(1, 2, 3, 4))
subprocess.run(["mount", "-o", "remount,size=64M", FULL], check=True)
check("files", save(0, 4096, 3 * MiB), files(2, 4, 5))
j = c.call("job_wait", job=c.call("disk_load", path=DIR,
                                  if_exists="replace")["job"], seconds=600)
check("state (%s)" % j["error"], j["state"], "done")
check("what was saved", connect("d").pread(16 * MiB, 0) == shadow, True)
END
