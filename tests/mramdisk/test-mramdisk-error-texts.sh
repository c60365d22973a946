#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With nbdkit 1.42 and later, a client is told why its connection was refused,
# in the words of the log; with libnbd 1.22 and later, the text is in the
# client's error.

. "$(dirname "$0")/../functions.sh"

requires nbdsh
version=$(nbdkit --dump-config | sed -n 's/^version_minor=//p')
[ "$version" -ge 42 ] || skip "nbdkit 1.$version sends no texts of errors"

cat >refused.py <<'END'
from nbdtest import *

def refusal(name):
    said = []
    h = nbd.NBD()
    if h.get_version() < "1.22":
        h.set_debug(True)
        h.set_debug_callback(lambda where, line: said.append(line) or 0)
    h.set_export_name(name)
    try:
        h.connect_unix(os.environ["tmp"] + "/s.sock")
    except nbd.Error as e:
        return "\n".join(said + [str(e)])
    raise SystemExit("FAIL: %r: it connected" % name)

def told(name, *texts):
    said = refusal(name)
    for text in texts:
        if text not in said:
            raise SystemExit("FAIL: %r: no %r in %r" % (name, text, said))
END
refused () {                    # from standard input
  { cat refused.py; cat; } | nbdsh -c -
}

start_server s "$mramdisk" disk=small,size=1G auto-create=no
refused <<'END'
told("none", "there is no such disk", '"none"')
# What the client chose comes back escaped.
said = refusal("e\033[31mvil\u202e")
check("escaped", ("\033" in said.replace("e\033[31mvil", ""), "\\x1b" in said),
      (False, True))
END
stop_server s

start_server s "$mramdisk" size=1M max-disks=1 max-connections=2
refused <<'END'
first = connect("a")
first.pwrite(b"x", 0)
told("b", "max-disks=1")
second = connect("a")
told("a", "max-connections=2")
END
stop_server s

start_server s "$mramdisk" size=1M template=golden \
  control="$tmp/control"
refused <<'END'
told("a", "template=golden does not exist")
END
stop_server s

step "an upstream that is away"
start_server s "$builddir/mnbd.so" socket="$tmp/nobody.sock" connect-timeout=1
refused <<'END'
told("a", "No such file or directory")
END
