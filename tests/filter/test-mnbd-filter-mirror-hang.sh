#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A secondary that hangs: a client waits for it no longer than mnbd-max-stall,
# and for one that was lost not at all until it is proved.  Nothing here but
# max-stall ends a request, except where it says so: a wait that it does not
# limit ends the test.

. "$(dirname "$0")/../mirror-functions.sh"

hangs='mnbd-request-timeout=100000'
stall=3                         # s: more than a busy machine adds to a request

step "one that is in use: it is given up after mnbd-max-stall"
for on in write flush; do
  for connections in 1 4; do
    fault_server u --set size=2M,multi_conn=1
    start_mirror "$mramdisk" size=2M $hangs mnbd-max-stall=$stall \
      mnbd-connections=$connections
    wait_mirror synchronised
    on=$on mirror <<'END'
from mnbdtest import tell
h = connect()
h.pwrite(b"a" * 4096, 0)
tell("fault on=%s,do=never" % os.environ["on"])
h.pwrite(b"b" * 4096, 0)
h.flush()
s = status()
check("lost", (s["outages"], s["last_error"]),
      (1, "the secondary is lost: a client's request waited for it for longer "
       "than mnbd-max-stall allows: Connection timed out"))
h.pwrite(b"c" * MiB, 0)
h.flush()
# The job may have reconnected, and wait for an answer again.
tell("clear")
tell("drop")
synchronised()
same()
END
    stop_server s
    end_fault_server u
  done
done

step "one whose window is being copied, or compared"
fault_server u --set size=2M
start_mirror "$mramdisk" size=2M $hangs mnbd-max-stall=$stall
wait_mirror synchronised
mirror <<'END'
from mnbdtest import tell
h = connect()
h.pwrite(b"d" * 2 * MiB, 0)
tell("fault on=read,do=never")
control.call("mirror_verify")
log = os.environ["tmp"] + "/u.jsonl"
while '"fault"' not in open(log).read():
    time.sleep(0.02)
for offset in range(0, 2 * MiB, 65536):
    h.pwrite(b"e" * 4096, offset)
check("lost", status()["outages"], 1)
tell("clear")
tell("drop")
synchronised()
same()
END
stop_server s
end_fault_server u

step "one that is back, and hangs: nobody waits for it"
fault_server u --set size=2M
start_mirror "$mramdisk" size=2M $hangs mnbd-max-stall=0
wait_mirror synchronised
mirror <<'END'
from mnbdtest import tell
log = os.environ["tmp"] + "/u.jsonl"

def faults():
    return open(log).read().count('"fault"')

h = connect()
for on in "extents", "read", "write", "flush":
    tell("fault on=%s,do=never" % on)
    before = faults()
    tell("down")
    h.pwrite(b"f" * 100000, 300000)
    outages = wait_state("degraded")["outages"]
    tell("up")
    while faults() == before:
        time.sleep(0.02)
    # It is asked, and does not answer.
    for round in range(3):
        for offset in range(0, 2 * MiB, 65536):
            h.pwrite(os.urandom(4096), offset + 4096 * round)
        h.flush()
    check("nobody gave it up", status()["outages"], outages)
    tell("clear")
    tell("drop")
    synchronised()
    same()
END
stop_server s
end_fault_server u

step "without mnbd-request-timeout, a request is given up after 30 seconds"
fault_server u --set size=2M
start_mirror "$mramdisk" size=2M mnbd-max-stall=100000
wait_mirror synchronised
mirror <<'END'
from mnbdtest import tell
h = connect()
tell("fault on=write,do=never")
h.pwrite(b"g" * 4096, 0)
check("lost", status()["outages"], 1)
tell("clear")
tell("drop")
synchronised()
same()
END
stop_server s
end_fault_server u

step "a primary that is slow with FUA is not the secondary's fault"
start_server u "$mramdisk" size=2M
start_mirror --filter=delay "$mramdisk" size=2M wdelay=6 mnbd-max-stall=2
wait_mirror synchronised
mirror <<'END'
import threading
a, b = connect(), connect()
writer = threading.Thread(target=a.pwrite,
                          args=(b"h" * 4096, 0, nbd.CMD_FLAG_FUA))
writer.start()
while writer.is_alive():
    b.flush()
    time.sleep(0.1)
check("lost", (status()["outages"], status()["state"]), (0, "synchronised"))
END
stop_server s
stop_server u

step "the parameter"
filter_refused "mnbd-max-stall=x: expected a time in seconds" "$mramdisk" 1M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=mirror mnbd-max-stall=x
filter_refused "mnbd-max-stall=1: expected mnbd-mode=mirror as well" \
  "$mramdisk" 1M mnbd-socket="$tmp/u.sock" mnbd-mode=cache mnbd-max-stall=1
