#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# vsock=, through the kernel's loopback: no virtual machine is needed, but the
# module vsock_loopback.

. "$(dirname "$0")/../mnbd-functions.sh"

# Only who is on this machine can connect to this address.
/usr/bin/python3 - <<'END' || skip "no vsock loopback (modprobe vsock_loopback)"
import socket
import sys

try:
    socket.socket(socket.AF_VSOCK).bind((1, socket.VMADDR_PORT_ANY))
except OSError as e:
    sys.exit("bind to the local CID: %s" % e)
END
both_plugins

# nbdkit is given a socket that listens already, as systemd would.
/usr/bin/python3 - "$mramdisk" <<'END' >u.log 2>&1 &
import os
import socket
import sys

s = socket.socket(socket.AF_VSOCK)
s.bind((1, socket.VMADDR_PORT_ANY))
s.listen()
with open("port.new", "w") as f:
    f.write(str(s.getsockname()[1]))
os.rename("port.new", "port")
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)          # it may have been the same
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execlp("nbdkit", "nbdkit", "-f", sys.argv[1], "size=3M", "disk=two,size=2M")
END
child u $!
wait_for "the vsock server" [ -s port ]
port=$(cat port)

forwards 3145728 vsock=1 port="$port"
forwards 2097152 vsock=1 port="$port" export=two
forwards 2097152 "nbd+vsock://1:$port/two"
