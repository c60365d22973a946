#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that stays away for 60 seconds ends a push and a pull, no sooner, and
# the error says so; the pull leaves no disk.

. "$(dirname "$0")/../functions.sh"

serve size=16M control=control
start_server u "$mramdisk" size=16M
python <<'END'
from controltest import *
c = Control()
uri = "nbd+unix:///%%s?socket=%s/u.sock" % os.environ["tmp"]
for h in connect("a"), connect("from", server="u"):
    for i in range(16):
        h.pwrite(pattern(MiB, i), i * MiB)
    h.shutdown()
jobs = [c.call("disk_push", name="a", uri=uri % "to", rate=512 * KiB)["job"],
        c.call("disk_pull", name="pulled", uri=uri % "from", rate=512 * KiB)["job"]]
for job in jobs:
    c.wait("some of it was sent",
           lambda: c.call("job_wait", job=job)["bytes_sent"] > 0)
json.dump([jobs, time.monotonic()], open("jobs", "w"))
END
kill_server u
python <<'END'
from controltest import *
c = Control()
jobs, began = json.load(open("jobs"))
used = c.call("stats")["arena"]["used"]
for job, what in zip(jobs, ("destination", "source")):
    # Less than the time for which Control waits for an answer.
    c.wait("the end of job %d" % job, lambda: c.call(
        "job_wait", job=job, seconds=10)["state"] != "running")
    j = c.call("job_wait", job=job)
    check("state (%s)" % j["error"], j["state"], "failed")
    away = ("the %s is away: nbd+unix:///%s?socket=%s/u.sock: " %
            (what, "to" if what == "destination" else "from",
             os.environ["tmp"]))
    if not j["error"].startswith(away) or "\n" in j["error"]:
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], away))
    not_before("the end of job %d" % job, began, 60)
check("disks", c.names(), ["a"])
c.wait("what was pulled is freed",
       lambda: c.call("stats")["arena"]["used"] < used)
END
