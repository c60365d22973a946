#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Which export a pair is of: the default one, one that is named, or with
# mnbd-dynamic-export each that matches; and the plugin's disk of that name.

. "$(dirname "$0")/../mirror-functions.sh"

step "one export of many, by its name"
start_server u "$mramdisk" size=2M disk=there disk=other
start_mirror "$mramdisk" size=2M disk=a disk=b mnbd-exports=b \
  mnbd-export=there
mirror <<'END'
check("its name", status()["export"], "b")
synchronised()
connect("a").pwrite(b"of a", 0)
connect("b").pwrite(b"of b", 0)
connect("").pwrite(b"of the default", 0)
check("the upstream's", connect("there", server="u").pread(4, 0), b"of b")
check("and no other", connect("other", server="u").pread(4, 0), bytes(4))
check("the plugin's b", connect("b").pread(4, 0), b"of b")
check("the plugin's a", connect("a").pread(4, 0), b"of a")
# The filter's own way leads to the same disk as the client's.
check("compared", verify()["bytes_differing"], 0)
control.call("mirror_stop")
control.call("mirror_start")
synchronised()
check("copied again", connect("there", server="u").pread(4, 0), b"of b")
check("names", sorted(set(__import__("nbdtest").names()) - {""}), ["a", "b"])
END
stop_server s
stop_server u

step "each that matches, from its first client on"
start_server u "$mramdisk" size=2M
start_mirror "$mramdisk" size=2M mnbd-dynamic-export=true 'mnbd-exports=m-*'
mirror <<'END'
check("none yet", control.call("mirror_status")["mirrors"], [])
for name in "m-1", "m-2", "x":
    connect(name).pwrite(name.encode(), 4096)
def states():
    return {m["export"]: m["state"]
            for m in control.call("mirror_status")["mirrors"]}
while set(states().values()) != {"synchronised"}:
    time.sleep(0.02)
check("which", sorted(states()), ["m-1", "m-2"])
for name, there in ("m-1", b"m-1"), ("m-2", b"m-2"), ("x", bytes(3)):
    check(name, connect(name, server="u").pread(len(there), 4096), there)
# Without clients they go on.
check("still there", sorted(states()), ["m-1", "m-2"])
END
stop_server s
stop_server u

step "a plugin with one disk does not ask for the name"
start_server u "$mramdisk" size=2M
start_mirror memory 2M mnbd-exports=any
mirror <<'END'
synchronised()
connect("any").pwrite(b"here", 0)
check("upstream", connect(server="u").pread(4, 0), b"here")
# Another name is no way past the mirror.
for name in "", "other":
    data = b"by " + name.encode()
    connect(name).pwrite(data, 0)
    check(name, connect(server="u").pread(len(data), 0), data)
check("mirrors", len(control.call("mirror_status")["mirrors"]), 1)
END
stop_server s

step "the same with mnbd, and with a name for the default disk"
start_server v "$mramdisk" size=2M
start_mirror "$builddir/mnbd.so" socket="$tmp/v.sock"
mirror <<'END'
synchronised()
connect("by").pwrite(b"another name", 0)
check("upstream", connect(server="u").pread(12, 0), b"another name")
END
stop_server s
for exports in "" a; do
  start_mirror "$mramdisk" size=2M default=a disk=a disk=b \
    mnbd-exports="$exports"
  mirror <<'END'
synchronised()
for name in "", "a":
    data = b"by " + name.encode()
    connect(name).pwrite(data, 0)
    check(name, connect(server="u").pread(len(data), 0), data)
connect("b").pwrite(b"of b", 0)
check("not mirrored", connect(server="u").pread(3, 0), b"by ")
check("mirrors", [m["export"] for m in
                  control.call("mirror_status")["mirrors"]], ["a"])
END
  stop_server s
done

step "nor can it know which of several it opens"
filter_refused \
  "mnbd-dynamic-export=true: cannot be used with mnbd-mode=mirror" \
  memory 2M mnbd-socket="$tmp/u.sock" mnbd-mode=mirror \
  mnbd-dynamic-export=true 'mnbd-exports=*'

step "a plugin that takes one connection at a time"
requires_filter noparallel
filter_refused \
  "mnbd-mode=mirror: the plugin accepts only one connection at a time" \
  --filter=noparallel "$mramdisk" size=2M serialize=connections \
  mnbd-socket="$tmp/u.sock" mnbd-mode=mirror
