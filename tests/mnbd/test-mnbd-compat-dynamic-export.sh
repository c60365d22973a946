#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# dynamic-export=true: the client's export name is the server's, and the list,
# the descriptions and the default are the server's too.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u --export ",size=1M" --export 'two,size=2M,description=the second' \
  --export three,size=3M
start_forwarder socket="$tmp/u.sock" dynamic-export=true
python <<'END'
check("list", names(), {"": "", "two": "the second", "three": ""})
for name, size in ("", 1), ("two", 2), ("three", 3):
    check("size of " + name, connect(name).get_size(), size * MiB)
refused("another name", None, connect, "four")
a, b = connect("two"), connect("three")
a.pwrite(b"this is two", 5)
b.pwrite(b"this is three", 5)
check("two", connect("two", server="u").pread(11, 5), b"this is two")
check("three", connect("three", server="u").pread(13, 5), b"this is three")
check("two", a.pread(11, 5), b"this is two")

def describe(h):
    h.set_opt_mode(True)
    h.set_full_info(True)
check("description", [h.opt_info() or h.get_export_description()
                      for h in [connect("two", setup=describe)]],
      ["the second"])
END

step "another list later"
tell u exports three,four
python <<'END'
check("list", names(), {"three": "", "four": ""})
check("size", connect("four").get_size(), 16 * MiB)
refused("two, which is gone", None, connect, "two")
END

step "a server that does not tell its list"
tell u set list=no
python <<'END'
try:
    names()
except nbd.Error:
    pass
check("size", connect("three").get_size(), 3 * MiB)
END
