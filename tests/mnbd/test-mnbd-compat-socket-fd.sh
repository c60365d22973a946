#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# socket-fd=: a socket that is open already.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u
/usr/bin/python3 - "$plugin" <<'END' || fail "see above"
import os
import socket
import subprocess
import sys

s = socket.socket(socket.AF_UNIX)
s.connect("u.sock")
p = subprocess.run(
    ["nbdkit", "-U", "-", sys.argv[1], "socket-fd=%d" % s.fileno(), "--run",
     "nbdsh -u $uri -c 'h.pwrite(b\"by fd\", 100)' "
     "-c 'assert h.pread(5, 100) == b\"by fd\"' && nbdinfo --size $uri"],
    pass_fds=[s.fileno()], stdout=subprocess.PIPE, timeout=60)
if p.returncode != 0 or p.stdout.strip() != b"16777216":
    sys.exit("FAIL: status %d, %r" % (p.returncode, p.stdout))
END
python <<'END'
check("content", connect(server="u").pread(5, 100), b"by fd")
END
