#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each connection finds its own socket, and one client can be disconnected
# without harm to others: those of one process on a Unix socket, too.

. "$(dirname "$0")/../functions.sh"

plugin=$builddir/tests/.libs/client-sockets-plugin.so
[ -e "$plugin" ] || fail "$plugin does not exist"

cat >check.py <<'END'
import threading

def number(h):
    return int.from_bytes(h.pread(8, 0), sys.byteorder)

def disconnect(h, other):
    h.pwrite(other.to_bytes(8, sys.byteorder), 0)

def gone(h):
    """A request that comes right away may still be answered."""
    for i in range(1000):
        try:
            h.pread(8, 0)
        except nbd.Error:
            return
        time.sleep(0.01)
    raise SystemExit("FAIL: a client was not disconnected")

# All at the same time, with some that never open anything.
silent = [Raw() for i in range(5)] if unix else []
clients = [None] * 40
def open_one(i):
    clients[i] = new()
threads = [threading.Thread(target=open_one, args=(i,)) for i in range(40)]
for t in threads:
    t.start()
for t in threads:
    t.join()
numbers = [number(h) for h in clients]
check("sockets that were found", 0 not in numbers, True)
check("different sockets", len(set(numbers)), 40)

# One that does nothing, by another one.
disconnect(clients[0], numbers[7])
gone(clients[7])
for i in range(40):
    if i != 7:
        check("number of client %d" % i, number(clients[i]), numbers[i])
for i in range(1000):           # nbdkit closes it in a moment
    try:
        disconnect(clients[0], numbers[7])
    except nbd.Error as e:
        check("errno", e.errno, "EPERM")
        break
    time.sleep(0.01)
else:
    raise SystemExit("FAIL: it is still there")

# One itself: what it has begun is answered.
disconnect(clients[3], numbers[3])
gone(clients[3])
refused("no socket", errno.EPERM, disconnect, clients[0], 0)
refused("an unknown socket", errno.EPERM, disconnect, clients[0], 12345678901)
check("number of a new one", number(new()) in numbers, False)
END

for parameter in serial=1 parallel=1; do
  step "a Unix socket, $parameter"
  start_server s "$plugin" $parameter
  python <<'END'
import sys
unix, new = True, connect
exec(open("check.py").read())
END
  stop_server s

  step "TCP, $parameter"
  free_port
  start_tcp_server "$plugin" $parameter
  python <<END
import sys
def new():
    h = nbd.NBD()
    h.connect_tcp("127.0.0.1", "$port")
    return h
unix = False
exec(open("check.py").read())
END
  kill $pid
  wait $pid || fail "status $? of the server: $(cat tcp.log)"
  rm tcp.pid
done
