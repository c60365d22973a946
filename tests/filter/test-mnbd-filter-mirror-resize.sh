#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A primary that is resized: a mirror that is stopped does not concern clients,
# and is started with the size that there is then; one that runs has promised
# its size to the secondary.

. "$(dirname "$0")/../mirror-functions.sh"

cat >resize.py <<'END'
disks = Control(os.environ["tmp"] + "/disks")


def resize(size):
    disks.call("disk_resize", name="", size=size)


def size_of(server="s"):
    h = connect(server=server)
    return h.get_size()
END

for to in 16 4; do
  step "stopped from the start, to ${to}M"
  start_server u "$mramdisk" size=${to}M
  start_mirror "$mramdisk" size=8M disk= control="$tmp/disks" mnbd-start=false
  to=$to mirror <<'END'
exec(open("resize.py").read())
to = int(os.environ["to"]) * MiB
a = connect()
a.pwrite(b"a" * 100000, 0)
resize(to)
b = connect()
check("the new size", b.get_size(), to)
check("the same disk", b.pread(2, 0), b"aa")
b.pwrite(b"b" * 100000, to - 100000)
control.call("mirror_start")
synchronised()
check("its size", status()["size"], to)
same()
# A client of the old size has the same disk, so what it writes is mirrored.
a.pwrite(b"c" * 100000, 3 * MiB)
check("mirrored", connect(server="u").pread(2, 3 * MiB), b"cc")
if to < 8 * MiB:
    refused("beyond the end", errno.ENOSPC, a.pwrite, b"d" * 4096, to)
    refused("across it", errno.ENOSPC, a.pwrite, b"d" * 8192, to - 4096)
b.pwrite(b"e" * 100000, to - 200000)
synchronised()
check("compared", verify()["bytes_differing"], 0)
same()
END
  stop_server s
  stop_server u
done

step "stopped later, and resumed with another size: all is copied"
start_server u "$mramdisk" size=8M disk=large,size=16M
start_server s --filter="$filter" "$mramdisk" size=8M disk= \
  control="$tmp/disks" mnbd-mode=mirror mnbd-control=control \
  mnbd="$(uri "" u)"
mirror <<'END'
exec(open("resize.py").read())
h = connect()
h.pwrite(b"1" * (2 * MiB), MiB)
synchronised()
check("consistent", control.call("mirror_stop")["consistent"], True)
h.pwrite(b"2", 0)
resize(16 * MiB)
check("clients", size_of(), 16 * MiB)
check("started", control.call("mirror_start", resume=True)["started"], True)
# The secondary is too small now.
while status()["last_error"] is None:
    time.sleep(0.02)
check("why", status()["last_error"],
      "the secondary's size is 8388608 bytes, expected the primary's, 16777216")
control.call("mirror_stop", force=True)
resize(8 * MiB)
control.call("mirror_start", resume=True)
synchronised()
same()
END
stop_server s

# What was cut off reads as zeros then.  It is little, so that no sample of the
# secondary finds it.
step "made smaller and larger again while it is stopped: all is copied"
start_mirror "$mramdisk" size=8M disk= control="$tmp/disks"
mirror <<'END'
exec(open("resize.py").read())
h = connect()
for i in range(8):
    h.pwrite(pattern(MiB, i), i * MiB)
h.shutdown()
synchronised()
check("consistent", control.call("mirror_stop")["consistent"], True)
resize(8 * MiB - 4096)
resize(8 * MiB)
control.call("mirror_start", resume=True)
synchronised()
same()
END
stop_server s

step "one that runs"
start_mirror "$mramdisk" size=8M disk= control="$tmp/disks"
mirror <<'END'
exec(open("resize.py").read())
synchronised()
h = connect()
resize(16 * MiB)
refused("a client", None, connect)
check("state", status()["state"], "synchronised")
h.pwrite(b"mirrored", 0)
# The secondary is not what the primary is.
check("consistent", control.call("mirror_stop")["consistent"], False)
check("a client", size_of(), 16 * MiB)
END
grep -qF "the primary's size is 16777216 bytes now: expected the mirror's, \
8388608; stop the mirror to use the new size" s.log || fail "$(cat s.log)"
stop_server s

step "one that runs, and the primary is made smaller and larger again"
start_mirror "$mramdisk" size=8M disk= control="$tmp/disks"
mirror <<'END'
exec(open("resize.py").read())
synchronised()
h = connect()
h.pwrite(b"cut off", 7 * MiB)
resize(7 * MiB)
resize(8 * MiB)
refused("a client", None, connect)
control.refused("EBUSY", "the primary was made smaller, and the secondary "
                "still has what that has cut off", "mirror_switch")
check("consistent", control.call("mirror_stop")["consistent"], False)
control.call("mirror_start", resume=True)
synchronised()
same()
check("zeros", connect(server="u").pread(7, 7 * MiB), bytes(7))
END
grep -qF "the primary was made smaller and larger again" s.log ||
  fail "$(cat s.log)"
stop_server s

step "set read-only while it is stopped"
start_mirror "$mramdisk" size=8M disk= control="$tmp/disks" mnbd-start=false
mirror <<'END'
exec(open("resize.py").read())
disks.call("disk_set", name="", readonly=True)
check("a client", connect().is_read_only(), True)
control.refused("EBUSY", "the primary is read-only", "mirror_start")
disks.call("disk_set", name="", readonly=False)
check("a client", connect().is_read_only(), False)
control.call("mirror_start")
synchronised()
END
stop_server s

step "a plugin that does not tell disks apart"
truncate -s 8M image
start_mirror file "$tmp/image" mnbd-start=false
mirror <<'END'
h = connect()
h.pwrite(b"1" * 4096, 0)
os.truncate("image", 4 * MiB)
i = connect()
check("a client", i.get_size(), 4 * MiB)
i.pwrite(b"2" * 4096, 8192)
# Whether both have one disk nobody knows.
control.refused("EBUSY", "clients are still connected to the old one",
                "mirror_start")
os.truncate("image", 8 * MiB)
i.shutdown()
h.shutdown()
# nbdkit takes a moment to see that they have gone.
end = time.monotonic() + 60
while status()["state"] == "stopped":
    check("in time", time.monotonic() < end, True)
    time.sleep(0.05)
    try:
        control.call("mirror_start")
    except SystemExit:
        pass
synchronised()
same()
END
