#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mirror switch: clients continue with the secondary, on the connections that
# they have; nothing reaches the primary afterwards; what fails leaves them
# where they were.

. "$(dirname "$0")/../mirror-functions.sh"

ctl ()
{
  "$builddir/mblockctl" -s "$tmp/control" "$@"
}

# The primary is another server, so that it can be taken away.
start_switch ()
{
  start_server d "$mramdisk" size=2M
  start_mirror "$builddir/mnbd.so" socket="$tmp/d.sock" reconnect=1 "$@"
}

switches ()
{
  ctl mirror switch >switched 2>&1
}

# A shadow client checks every byte while the disk moves and the old primary is
# killed; then the new one crashes and comes back with what it has flushed.
move ()
{
  step "move a disk in use, $1"
  volatile_server u --size=2097152 $1
  start_switch mnbd-connections=3
  wait_mirror synchronised
  start_shadow --connections=3 "$(uri)"
  for _ in 1 2 3 4 5; do
    moment
  done
  # Requests that take long on a busy machine are reasons to refuse it.
  wait_for "the switch" switches
  crash_server d
  grep -q '^switched at .* clients use the secondary; requests were held for' \
    switched || fail "switch says: $(cat switched)"
  moment
  for _ in 1 2 3; do
    outage KILL --size=2097152 $1
    moment
  done
  shadow_passed
  mirror <<'END'
s = status()
check("state", (s["state"], s["serving"]), ("switched", "secondary"))
check("outages", s["outages"] > 0, True)
h = connect()
h.pwrite(b"later", 4096)
h.flush()
check("later", bytes(connect().pread(5, 4096)), b"later")
for method in "stop", "start", "verify", "switch":
    control.refused("EBUSY", "the mirror has switched: its clients use the "
                    "secondary alone", "mirror_" + method)
control.refused("EBUSY", "the mirror has switched", "mirror_rate", rate=1)
END
  ctl mirror status | grep -q 'clients use the secondary' ||
    fail "status: $(ctl mirror status)"
  stop_server s
  # Nobody needs what was written to the primary and not flushed.
  ! grep -q 'could not be flushed' s.log || fail "$(cat s.log)"
  kill_child u
  # What a client has flushed is in the file.
  check "the new disk" "$(tail -c +4097 u.img | head -c 5)" later
  rm -f u.img u.sock
}

move ""
move "--multi-conn --no-fua"

step "what was written and not flushed is kept for a secondary that is away"
volatile_server u --size=2097152
start_switch
wait_mirror synchronised
mirror <<'END'
h = connect()
control.call("mirror_switch")
h.pwrite(b"x" * 8192, 0)
END
outage KILL --size=2097152
stop_server s
check "written at the end" "$(head -c 1 u.img)" x
kill_child u
crash_server d
rm -f u.img u.sock

step "a secondary that is lost before the switch"
fault_server u --set size=2M
start_switch
wait_mirror synchronised
mirror <<'END'
from mnbdtest import tell
h = connect()
h.pwrite(b"a" * 4096, 0)
tell("fault on=flush,do=close,times=1")
tell("fault on=greeting,do=close")      # it does not come back yet
control.refused("EBUSY", "the secondary was lost before the switch; clients use "
                "the primary", "mirror_switch")
h.pwrite(b"b" * 4096, 4096)
check("on the primary", bytes(connect(server="d").pread(4096, 4096)),
      b"b" * 4096)
check("serving", status()["serving"], "primary")
control.refused("EBUSY", "the mirror is", "mirror_switch")
tell("clear")
synchronised()
control.call("mirror_switch")
h.pwrite(b"c" * 4096, 4096)
h.flush()
check("on the primary", bytes(connect(server="d").pread(4096, 4096)),
      b"b" * 4096)
END
stop_server s
end_fault_server u
stop_server d

step "the primary is killed, and nobody is told of what it has lost"
for replay in 64M 0; do
  fault_server u --set size=2M
  start_switch replay-buffer=$replay
  wait_mirror synchronised
  mirror <<'END'
h = connect()
h.pwrite(b"w" * 65536, 0)
k = connect()
k.pwrite(b"k", MiB)
control.call("mirror_switch")
os.kill(int(open("d.pid").read()), 9)
h.pwrite(b"x" * 65536, 0)
h.flush()
k.flush()
h.shutdown()
connect().flush()
END
  crash_server d
  stop_server s
  grep -v 'the mirror has switched' s.log >said || :
  ! grep -q 'flush\|connection was lost' said || fail "it says: $(cat said)"
  end_fault_server u
done

step "a client of another disk, which had the primary's name"
fault_server u --set size=2M
start_server s --filter="$filter" "$mramdisk" size=2M control="$tmp/disks" \
  mnbd-socket="$tmp/u.sock" mnbd-mode=mirror mnbd-control=control
wait_mirror synchronised
mirror <<'END'
from controltest import Control
disks = Control(os.environ["tmp"] + "/disks")
h = connect()
h.pwrite(b"old", 0)
control.call("mirror_stop", force=True)
disks.call("disk_create", name="", if_exists="replace")
k = connect()
k.pwrite(b"new", 0)
control.call("mirror_start")
synchronised()
control.refused("EBUSY", "clients still use another disk that had the "
                "primary's name: expected them to disconnect first",
                "mirror_switch")
check("the old one", bytes(h.pread(3, 0)), b"old")
h.shutdown()
for i in range(1000):
    try:
        control.call("mirror_switch")
        break
    except Exception:           # the server has not noticed its end yet
        time.sleep(0.02)
check("serving", status()["serving"], "secondary")
check("the new one", bytes(k.pread(3, 0)), b"new")
END
stop_server s
end_fault_server u

step "a primary whose name means another disk"
fault_server u --set size=2M,description=new
start_server s --filter="$filter" "$mramdisk" size=2M control="$tmp/disks" \
  mnbd-socket="$tmp/u.sock" mnbd-mode=mirror mnbd-control=control
wait_mirror synchronised
"$builddir/mblockctl" -s "$tmp/disks" resize "" 4M
mirror <<'END'
control.refused("EBUSY", "the primary's size has changed: expected the "
                "mirror's, 2097152 bytes", "mirror_switch")
END
# All there is of it: no name in the list, no client of the plugin.
"$builddir/mblockctl" -s "$tmp/disks" resize --force "" 2M
mirror <<'END'
h = connect()
control.call("mirror_switch")
k = connect()
k.pwrite(b"k", 0)
check("both", bytes(h.pread(1, 0)), b"k")
check("on the secondary", bytes(connect(server="u").pread(1, 0)), b"k")
k = connect(setup=lambda h: h.set_full_info(True))
check("description", k.get_export_description(), "new")
END
stop_server s
