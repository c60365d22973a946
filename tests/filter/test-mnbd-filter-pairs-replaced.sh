#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The disk beneath a mirror or a cache is replaced: the pair and its clients
# have one disk all the same, or a client is refused in one line.

. "$(dirname "$0")/../mirror-functions.sh"

# start_replaceable MODE PARAMETERS…
start_replaceable ()
{
  local mode=$1
  shift
  rm -f control disks
  start_server s --filter="$filter" "$mramdisk" size=8M control="$tmp/disks" \
    mnbd-socket="$tmp/u.sock" mnbd-mode="$mode" mnbd-control=control "$@"
}

cat >replace.py <<'END'
disks = Control(os.environ["tmp"] + "/disks")


def clone_over():
    disks.call("disk_create", name="golden", size=8 * MiB)
    connect("golden").pwrite(b"golden", 0)
    disks.call("disk_clone", name="", source="golden", if_exists="replace")


def destroy():
    disks.call("disk_destroy", name="")


def destroy_and_create():
    destroy()
    disks.call("disk_create", name="", size=8 * MiB)


def replace():
    globals()[os.environ["how"]]()
END
export how

one_line ()
{
  check "lines about it" "$(grep -c 'expected the mirrored disk' s.log)" 1
}

for how in clone_over destroy destroy_and_create; do
  step "a mirror: $how"
  start_server u "$mramdisk" size=8M
  start_replaceable mirror
  mirror <<'END'
exec(open("replace.py").read())
synchronised()
old = connect()
old.pwrite(b"old", 0)
replace()
refused("a client of the new disk", None, connect)
check("state", status()["state"], "failed")
check("why", "was replaced" in status()["last_error"], True)
# Who has the old disk keeps it, and it is mirrored.
old.pwrite(b"still", 4096)
old.flush()
check("mirrored", connect(server="u").pread(5, 4096), b"still")
control.refused("EBUSY", "was replaced", "mirror_stop")
control.refused("EBUSY", "was replaced", "mirror_start")
control.refused("EBUSY", "was replaced", "mirror_verify", repair=True)
check("consistent", control.call("mirror_stop", force=True)["consistent"],
      False)
# Then it does not concern clients, and each has what it found.
new = connect()
check("the new disk", new.pread(3, 0) == b"old", False)
new.pwrite(b"new", 8192)
old.pwrite(b"no more", 4096)
check("two disks", old.pread(3, 8192), bytes(3))
control.call("mirror_start", resume=True)
synchronised()
old.pwrite(b"nor now", 4096)
new.pwrite(b"more", 12288)
synchronised()
same()
check("compared", verify()["bytes_differing"], 0)
check("consistent", control.call("mirror_stop")["consistent"], True)
same()
END
  one_line
  stop_server s
  stop_server u
done

step "a mirror that nobody uses is asked"
for how in clone_over destroy destroy_and_create; do
  start_server u "$mramdisk" size=8M
  start_replaceable mirror
  mirror <<'END'
exec(open("replace.py").read())
synchronised()
# By a second connection, or there would be no disk.
connect().pwrite(b"old", 0)
synchronised()
replace()
control.refused("EBUSY", "was replaced", "mirror_stop")
check("state", status()["state"], "failed")
END
  stop_server s
  stop_server u
done

step "who has it open: the filter itself is no client"
start_server u "$mramdisk" size=8M
start_replaceable mirror
mirror <<'END'
exec(open("replace.py").read())
synchronised()
h = connect()
h.pwrite(b"old", 0)
disks.call("disk_create", name="golden", size=8 * MiB)
changes = {"disk_resize": {"size": 4 * MiB},
           "disk_clone": {"source": "golden", "if_exists": "replace"},
           "disk_destroy": {}}
for method, parameters in changes.items():
    data = disks.answer(method, name="", if_open="error",
                        **parameters)["error"]["data"]
    check(method, (data["clients"], data["errno"]), (1, "EBUSY"))
h.shutdown()
disks.wait("only the filter has it", lambda: len(
    disks.call("client_list", name="")["clients"]) == 1)
for method, parameters in changes.items():
    disks.call(method, name="", if_open="error", **parameters)
check("consistent", control.call("mirror_stop", force=True)["consistent"],
      False)
END
stop_server s
stop_server u

step "a name that is gone"
start_server u "$mramdisk" size=8M
start_replaceable mirror disk= auto-create=no
mirror <<'END'
exec(open("replace.py").read())
synchronised()
h = connect()
destroy()
refused("a client", None, connect)
h.pwrite(b"mirrored", 0)
check("there", connect(server="u").pread(8, 0), b"mirrored")
END
stop_server s
stop_server u

for cache in writethrough "writeback mnbd-cache-dirty-age=86400"; do
  for how in clone_over destroy destroy_and_create; do
    step "a cache, $cache: $how"
    start_server u "$mramdisk" size=8M
    python <<'END'
connect(server="u").pwrite(b"origin" * 1000, 0)
END
    # shellcheck disable=SC2086
    start_replaceable cache mnbd-cache=$cache
    mirror <<'END'
exec(open("replace.py").read())
a = connect()
check("read", a.pread(6, 0), b"origin")
a.pwrite(b"written", MiB)
replace()
b = connect()
check("of the origin", b.pread(6, 0), b"origin")
check("not flushed yet", b.pread(7, MiB), b"written")
b.pwrite(b"later", 2 * MiB)
a.flush()
b.flush()
u = connect(server="u")
check("flushed", u.pread(7, MiB), b"written")
check("flushed, too", u.pread(5, 2 * MiB), b"later")
check("no zeros", u.pread(6, 0), b"origin")
a.pwrite(b"again", MiB)
check("one disk", b.pread(5, MiB), b"again")
END
    stop_server s
    nbdcopy "$(uri "" u)" up
    check "at the end" "$(dd if=up bs=1M skip=1 count=1 status=none |
      head -c 7)" againen
    stop_server u
  done
done

step "a file that another one is renamed to"
start_server u "$mramdisk" size=8M
truncate -s 8M image
start_mirror file "$tmp/image"
mirror <<'END'
synchronised()
h = connect()
h.pwrite(b"old", 0)
with open("other", "wb") as f:
    f.write(b"new" * 1000)
    f.truncate(8 * MiB)
os.rename("other", "image")
# nbdkit's plugin does not tell files apart: all stay with the first.
i = connect()
check("one file", i.pread(3, 0), b"old")
i.pwrite(b"both", 4096)
check("the other client", h.pread(4, 4096), b"both")
synchronised()
check("consistent", control.call("mirror_stop")["consistent"], True)
same()
check("the same file", connect().pread(3, 0), b"old")
connect().pwrite(b"alone", 8192)
control.call("mirror_start", resume=True)
check("resumed", synchronised()["bytes_total"] < 8 * MiB, True)
same()
END
