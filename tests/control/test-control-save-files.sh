#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# However often a folder is saved to, it has a limited number of files, and
# neither a save nor a load needs more descriptors than that.

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
save()
check("again", moved[-1], 0)
END
stop_server s

serve size=1M control=control load=saved max-connections=8
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
