#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# default= sets the disk that the empty export name refers to.

. "$(dirname "$0")/../functions.sh"

step "without default= the empty name is a disk like others"
serve size=1M
python <<'END'
connect("").pwrite(b"empty", 0)
check("the empty name", connect("").pread(5, 0), b"empty")
check("another", connect("other").pread(5, 0), bytes(5))
become("exports", lambda: list(names()), [""])
END
stop_server s

step "with it, it is the disk of that name"
serve size=1M default=main disk=main,size=2M disk=other
python <<'END'
connect("").pwrite(b"main", 0)
check("size of the empty name", connect("").get_size(), 2 * MiB)
check("main", connect("main").pread(4, 0), b"main")
check("exports", sorted(names()), ["main", "other"])
END
stop_server s

step "it may be one that connecting makes; the list already has it"
serve size=1M default=later
python <<'END'
check("exports before", list(names()), ["later"])
connect("").pwrite(b"later", 0)
check("later", connect("later").pread(5, 0), b"later")
check("exports after", list(names()), ["later"])
END
stop_server s

step "nobody else than the client may use the word: a disk= with no name"
serve auto-create=no disk=,size=3M
python <<'END'
check("size", connect("").get_size(), 3 * MiB)
check("exports", list(names()), [""])
END
