#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A pull from a server that leaves a request unanswered, with its connections
# open: the request is sent again on a new one.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

start_server s "$mramdisk" size=1M control="$tmp/control"
fault_server u
python <<'END'
connect(server="u").pwrite(pattern(MiB), 0)
END
n=0
for cmd in read extents; do
  step "$cmd"
  tell u clear
  tell u fault "on=$cmd,do=ignore,times=1"
  cmd=$cmd python <<'END'
from controltest import *
c = Control()
job = c.call("disk_pull", name=os.environ["cmd"],
             uri="nbd+unix:///?socket=%s/u.sock" % os.environ["tmp"])["job"]
j = c.call("job_wait", job=job, seconds=600)
check("state (%s)" % j["error"], j["state"], "done")
h = connect(os.environ["cmd"])
check("size", h.get_size(), connect(server="u").get_size())
check("the first MiB", bytes(h.pread(MiB, 0)), pattern(MiB))
for offset in range(MiB, h.get_size(), MiB):
    check("content at %d" % offset, bytes(h.pread(MiB, offset)), bytes(MiB))
END
  # One in each round.
  check "faults" "$(grep -c '"event": "fault"' u.jsonl)" $((++n))
done
