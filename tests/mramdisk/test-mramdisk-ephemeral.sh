#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk that nobody wrote to is ephemeral: clients that only look leave
# nothing behind.

. "$(dirname "$0")/../functions.sh"

requires nbdinfo
serve size=1M max-disks=2
none ()
{
  python <<END
become("exports after $1", names, {"": ""})
END
}
none "nothing"

step "nbdinfo"
check "size" "$(nbd_info "$(uri ephemeral)" export-size)" 1048576
none "nbdinfo"

step "nbdinfo --map, which opens it and reads extents"
nbdinfo --map "$(uri ephemeral)" >out
none "nbdinfo --map"

step "nbdinfo --list, which opens what is listed"
nbdinfo --list "$(uri)" >out
none "nbdinfo --list"

step "INFO before GO"
python <<'END'
def setup(h):
    h.set_opt_mode(True)

h = connect("ephemeral", setup=setup)
h.opt_info()
check("size by INFO", h.get_size(), 1 * MiB)
h.opt_go()
check("size by GO", h.get_size(), 1 * MiB)
check("exports while it is open", sorted(names()), ["", "ephemeral"])
h.shutdown()

h = connect("ephemeral", setup=setup)
h.opt_info()
h.opt_abort()
END
none "INFO"

step "reads, flush, cache and trims of nothing are not yet a use"
python <<'END'
h = connect("ephemeral")
h.pread(1 * MiB, 0)
h.flush()
h.cache(4096, 0)
check("extents", extents(h), [(1 * MiB, "hole")])
h.shutdown()
END
none "reads"

step "many names in a row do not use up max-disks"
for i in 1 2 3 4 5 6; do
  nbdinfo --size "$(uri "name$i")" >out
  none "name$i"
done
