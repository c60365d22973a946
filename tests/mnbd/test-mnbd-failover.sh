#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two URIs: when the first server is lost, the second takes over, and vice
# versa; at the start, the first one that answers is used.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# Both serve the same file, as two gateways of one storage do.
truncate -s 16M disk
a ()
{
  start_server a file "$tmp/disk"
}
b ()
{
  start_server b file "$tmp/disk"
}
b
start_forwarder uri="$(uri '' a)" uri="$(uri '' b)" reconnect=30
step "the first is not there: the second is taken"
python <<'END'
connect().pwrite(b"via b", 0)
END

start_shadow --connections=2 "$(uri)"
for ((i = 0; i < 4; i++)); do
  step "from the second to the first"
  a
  crash_server b
  sleep 0.5
  step "from the first to the second"
  b
  crash_server a
  sleep 0.5
done
shadow_passed

step "the second server is of another size: it is refused"
stop_server s
truncate -s 8M other
a
crash_server b
start_server b file "$tmp/other"
start_forwarder uri="$(uri '' a)" uri="$(uri '' b)" reconnect=2
cp other other.before
python <<'END'
import signal

h = connect()
check("size", h.get_size(), 16 * MiB)
h.pwrite(b"via a", 0)
os.kill(int(open("a.pid").read()), signal.SIGKILL)
refused("a write", errno.ESHUTDOWN, h.pwrite, b"lost", 0)
END
cmp other other.before || fail "it was written to"
crash_server a
a
for i in $(seq 100); do
  nbdsh -c 'from nbdtest import *' -c 'h = connect()' \
    -c 'check("content", h.pread(5, 0), b"via a")' >out 2>&1 && break
  sleep 0.1
done
[ "$i" -lt 100 ] || fail "the first does not serve again: $(cat out)"
