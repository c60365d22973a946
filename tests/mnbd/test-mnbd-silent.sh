#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A TCP upstream that falls silent, as when a cable is pulled, with no packet
# that says so: after 30 seconds its connections count as lost, those with a
# request and those without, and the second server takes over.  The test has a
# network of its own, whose only interface it takes away.

if [ -z "$MBLOCK_NETWORK" ]; then
  for how in --net "--net --map-root-user"; do
    # shellcheck disable=SC2086
    if unshare $how true 2>/dev/null; then
      MBLOCK_NETWORK=own exec unshare $how "$BASH" "$0" "$@"
    fi
  done
fi

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
requires ip unshare
[ "$MBLOCK_NETWORK" = own ] || skip "there can be no network namespace here"
ip link set lo up || skip "the interface lo cannot be used"

truncate -s 16M disk
port=10809 address=127.0.0.1
start_tcp_server file "$tmp/disk"
start_server b file "$tmp/disk"
start_forwarder connections=2 uri="nbd://$address:$port" uri="$(uri '' b)"

python <<'END'
import signal
import subprocess

def sockets():
    """The states of the forwarder's TCP connections."""
    out = subprocess.run(["ss", "-tnH", "dport", "=", "10809"], check=True,
                         capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines()]

h = connect()
h.pwrite(pattern(300000), 777)
h.flush()
check("connections", sockets(), ["ESTAB", "ESTAB"])
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)

# Without the limit, this takes a quarter of an hour.
signal.alarm(150)
check("read", h.pread(300000, 777), pattern(300000))
h.pwrite(b"via b", 0)
h.flush()
for i in range(600):
    if not sockets():
        break
    time.sleep(0.1)
check("connections to the silent server", sockets(), [])
END
check "the disk" "$(head -c 5 disk)" "via b"
grep -q "$address:$port: the connection was lost" s.log ||
  fail "the log: $(cat s.log)"
