#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# 64 jobs run at a time, and no more; the last 100 that have ended are listed,
# and those before them are unknown.

. "$(dirname "$0")/../functions.sh"

serve size=4M control=control
start_server u "$mramdisk" size=4M max-connections=1000
python <<'END'
from controltest import *
MOST, ENDED = 64, 100
DIR = os.environ["tmp"] + "/saved"
uri = "nbd+unix:///%%s?socket=%s/u.sock" % os.environ["tmp"]
c = Control()

def push(name):
    """A job that takes half an hour."""
    return c.call("disk_push", name="a", uri=uri % name, rate=1024)["job"]

def jobs(*states):
    return [j["job"] for j in c.call("job_list")["jobs"]
            if j["state"] in states]

def ended():
    return jobs("done", "failed", "cancelled")

def cancel(job):
    c.call("job_cancel", job=job)
    check("state", c.call("job_wait", job=job, seconds=50)["state"],
          "cancelled")

def short():
    job = c.call("disk_save", path=DIR, patterns=["empty"])["job"]
    j = c.call("job_wait", job=job, seconds=50)
    check("state (%s)" % j["error"], j["state"], "done")
    return job

h = connect("a")
for i in range(2):
    h.pwrite(pattern(MiB, i), i * MiB)
c.call("disk_create", name="empty", size=0)

print("- as many as may run")
running = [push("d%d" % i) for i in range(MOST)]
text = "64 jobs are running already: wait for one of them"
for method, params in (("disk_push", {"name": "a", "uri": uri % "more"}),
                       ("disk_pull", {"name": "b", "uri": uri % "d0"}),
                       ("disk_save", {"path": DIR}),
                       ("disk_load", {"path": DIR})):
    c.refused("EBUSY", text, method, **params)
check("running", jobs("running"), running)
cancel(running[10])
running.append(push("more"))
c.refused("EBUSY", text, "disk_save", path=DIR)
for job in running:
    if job != running[10]:
        cancel(job)
check("running", jobs("running"), [])

print("- the last that have ended")
shorts = [short() for i in range(ENDED - 10)]
last = (running[:10] + running[11:])[-10:]
check("ended", ended(), last + shorts)
long = push("d0")
shorts += [short() for i in range(ENDED + 1)]
check("running", jobs("running"), [long])
check("ended", ended(), shorts[-ENDED:])
c.refused("ENOENT", "job: there is no job %d" % shorts[-ENDED - 1], "job_wait",
          job=shorts[-ENDED - 1])
c.refused("ENOENT", "job: there is no job %d" % shorts[0], "job_cancel",
          job=shorts[0])
check("the first of them", c.call("job_wait", job=shorts[-ENDED])["state"],
      "done")

print("- one that began long ago is the last to end")
cancel(long)
shorts.append(short())
check("ended", ended(), [long] + shorts[1 - ENDED:])
check("it is known", c.call("job_wait", job=long)["state"], "cancelled")
END
