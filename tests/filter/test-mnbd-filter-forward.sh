#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One server with both kinds of disks: the upstream's exports that match, all
# others from the plugin beneath, and one list.

. "$(dirname "$0")/../filter-functions.sh"

start_server u "$mramdisk" size=8M disk=far-a disk=far-b disk=near-c disk=x
start_server s --filter="$filter" "$mramdisk" size=4M disk=near-a disk=far-a \
  mnbd="$(sock_of u)" mnbd-mode=forward mnbd-exports='far-*' \
  mnbd-dynamic-export=true

step "the list: both, and each name once"
python <<'END'
own, far = "4M RAM disk, 0 mapped", "8M RAM disk, 0 mapped"
got = names()
got.pop("", None)
check("names", got, {"near-a": own, "far-a": far, "far-b": far})
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_unix(os.environ["sock"])
seen = []
h.opt_list(lambda name, description: seen.append(name) or 0)
check("each once", sorted(seen), sorted(set(seen)))
h.opt_abort()
END

step "who serves what"
python <<'END'
for name, size in ("far-a", 8), ("far-b", 8), ("near-a", 4), ("x", 4), ("", 4):
    check("size of %r" % name, connect(name).get_size(), size * MiB)
connect("far-a").pwrite(b"over there", 100)
connect("near-a").pwrite(b"over here", 100)
check("upstream", connect("far-a", server="u").pread(10, 100), b"over there")
check("upstream", connect("near-c", server="u").pread(9, 100), bytes(9))
check("forwarded", connect("far-a").pread(10, 100), b"over there")
check("local", connect("near-a").pread(9, 100), b"over here")

def describe(h):
    h.set_opt_mode(True)
    h.set_full_info(True)
for name, size in ("far-b", "8M"), ("x", "4M"):
    h = connect(name, setup=describe)
    h.opt_info()
    check("description", without_uuid(h.get_export_description()),
          size + " RAM disk, 0 mapped")
END

step "all that a client can ask for, of both"
python <<'END'
for name in "far-b", "x":
    h = connect(name)
    for what in ("can_flush", "can_fua", "can_trim", "can_zero",
                 "can_fast_zero", "can_cache", "can_multi_conn"):
        check("%s of %s" % (what, name), getattr(h, what)(), True)
    check("read-only", h.is_read_only(), False)
    h.pwrite(pattern(3 * PAGE), 5 * PAGE, nbd.CMD_FLAG_FUA)
    h.zero(PAGE, 6 * PAGE)
    h.zero(10, 5 * PAGE + 10, nbd.CMD_FLAG_NO_HOLE)
    h.trim(PAGE, 7 * PAGE, nbd.CMD_FLAG_FUA)
    h.cache(PAGE, 5 * PAGE)
    h.flush()
    data = bytearray(pattern(3 * PAGE))
    data[PAGE:] = bytes(2 * PAGE)
    data[10:20] = bytes(10)
    check("content of " + name, h.pread(3 * PAGE, 5 * PAGE), data)
    check("extents of " + name, extents(h, 16 * PAGE),
          [(5 * PAGE, "hole"), (PAGE, "data"), (10 * PAGE, "hole")])
END

step "without the upstream the plugin's disks are there, and are listed"
stop_server u
python <<'END'
got = names()
got.pop("", None)
check("names", sorted(got), ["near-a", "x"])
check("content", connect("near-a").pread(9, 100), b"over here")
refused("an export of the upstream", None, connect, "far-a")
END
grep -q 'nbdkit: .*error: list of exports: ' s.log || fail "no reason"
start_server u "$mramdisk" size=8M disk=far-c
python <<'END'
check("the new server's", connect("far-c").get_size(), 8 * MiB)
END

step "a glob that matches nothing"
start_server n --filter="$filter" "$mramdisk" size=4M disk=near \
  mnbd="$(sock_of u)" mnbd-mode=forward mnbd-exports='[0-9]*' \
  mnbd-dynamic-export=true
python <<'END'
check("names", sorted(set(names(server="n")) - {""}), ["near"])
check("all is local", connect("far-c", server="n").get_size(), 4 * MiB)
END
grep -qF 'mnbd-exports=[0-9]*: the upstream has no export that matches' n.log ||
  fail "it does not say that nothing matches"
