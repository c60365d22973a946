#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A save that cannot find out the names of the disks, because they change hands
# again and again, says so.

. "$(dirname "$0")/../functions.sh"

preload=$builddir/tests/control/.libs/same-names.so
export MBLOCK_SAME_NAMES=$tmp/same
LD_PRELOAD=$preload serve size=1M control=control
python <<'END'
from controltest import *
c = Control()
DIR = os.environ["tmp"] + "/saved"
for name in "a", "b":
    c.call("disk_create", name=name, size=MiB)
open(os.environ["MBLOCK_SAME_NAMES"], "w")
c.refused("EBUSY", "the names of disks change too fast: try again", "disk_save",
          path=DIR)
check("nothing was saved", os.path.exists(DIR), False)
os.unlink(os.environ["MBLOCK_SAME_NAMES"])
j = c.call("job_wait", job=c.call("disk_save", path=DIR)["job"], seconds=600)
check("state (%s)" % j["error"], j["state"], "done")
for name in "a", "b":
    c.call("disk_destroy", name=name)
END
