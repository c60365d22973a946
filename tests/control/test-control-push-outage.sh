#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A push to a server that repeatedly loses what was not flushed: in the end,
# everything is on that server's disk.  A push can be cancelled while its server
# is away, and does not go on with one that has lost what was flushed.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

start_server s "$mramdisk" size=24M control="$tmp/control"
# Without flushes in between, so that what a crash loses is of the beginning.
volatile_server u --size=25165824 --multi-conn --writeback=4
python <<'END'
from controltest import *
connect("a").pwrite(pattern(1 * MiB, 3), 0)
for i in range(24):
    connect("a").pwrite(pattern(1 * MiB, i), i * MiB)
c = Control()
job = c.call("disk_push", name="a", uri="nbd+unix:///?socket=%s/u.sock" %
             os.environ["tmp"], rate=12 << 20)["job"]
c.wait("some of it was sent",
       lambda: c.call("job_wait", job=job)["bytes_sent"] > 4 * MiB)
open("job", "w").write(str(job))
END
for signal in USR1 KILL USR2 KILL; do
  outage $signal --size=25165824 --multi-conn --writeback=4
  sleep 0.2
done
python <<'END'
from controltest import *
c = Control()
j = c.call("job_wait", job=int(open("job").read()), seconds=600)
check("state", (j["state"], j["error"]), ("done", None))
END
kill_child u
nbdcopy "$(uri a)" a.img
cmp a.img u.img || fail "not all is on the disk"

step "A server that goes away for good, and a cancel while it is away"
volatile_server u --size=25165824
python <<'END'
from controltest import *
c = Control()
job = c.call("disk_push", name="a", uri="nbd+unix:///?socket=%s/u.sock" %
             os.environ["tmp"], rate=1 << 20)["job"]
c.wait("some of it was sent",
       lambda: c.call("job_wait", job=job)["bytes_sent"] > 0)
open("job", "w").write(str(job))
END
kill_child u
python <<'END'
from controltest import *
c = Control()
job = int(open("job").read())
time.sleep(0.5)
check("it waits", c.call("job_wait", job=job)["state"], "running")
c.call("job_cancel", job=job)
check("cancelled", c.call("job_wait", job=job, seconds=600)["state"],
      "cancelled")
END

step "A server that returns without what it had flushed"
start_server v "$mramdisk" size=24M
python <<'END'
from controltest import *
c = Control()
job = c.call("disk_push", name="a", uri="nbd+unix:///?socket=%s/v.sock" %
             os.environ["tmp"], rate=8 << 20, verify=True)["job"]
c.wait("it is flushed",
       lambda: c.call("job_wait", job=job)["phase"] == "verifying")
os.kill(int(open("v.pid").read()), 9)   # before it has verified all
open("job", "w").write(str(job))
END
rm v.sock v.pid
start_server v "$mramdisk" size=24M
wait_for "the refusal" \
  grep -q "refused because it has changed: its UUID is no longer" s.log
python <<'END'
from controltest import *
c = Control()
job = int(open("job").read())
check("not done", c.call("job_wait", job=job)["state"], "running")
c.call("job_cancel", job=job)
check("cancelled", c.call("job_wait", job=job, seconds=600)["state"],
      "cancelled")
END
