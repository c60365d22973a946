#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Clients that stay do not keep nbdkit from ending, with any of mblock's plugins
# and its filter; and a client never gets a wrong reply because of it.

. "$(dirname "$0")/../functions.sh"

mnbd=$builddir/mnbd.so
filter=$builddir/mnbd-filter.so
client=                         # the process of the clients
at_exit eval '[ -z "$client" ] || kill -KILL $client 2>/dev/null || :'

# stay SETUP: clients that do nothing any more, of server s: one that is idle,
# one whose requests have ended, two in the middle of the handshake.
stay ()
{
  rm -f connected ended
  python <<END &
def setup(h):
    $1
h = [connect(setup=setup) for i in range(4)]
h[1].pwrite(b"written", 0)
h[2].pread(512, 0)
raw = socket.socket(socket.AF_UNIX)
raw.connect("%s/s.sock" % os.environ["tmp"])
raw.recv(18)
silent = socket.socket(socket.AF_UNIX)
silent.connect("%s/s.sock" % os.environ["tmp"])
open("connected", "w").close()
while not os.path.exists("ended"):
    time.sleep(0.01)
for i in h:
    refused("after the end", None, i.pread, 512, 0)
check("end of file", raw.recv(1), b"")
END
  client=$!
  wait_for_clients
}

wait_for_clients ()
{
  local i
  for ((i = 0; i < 1200; i++)); do
    [ ! -e connected ] || return 0
    running $client || fail "the clients have ended"
    pause 0.05
  done
  fail "the clients have not connected"
}

# wait_for_server: until it has ended.
wait_for_server ()
{
  local i
  for ((i = 0; i < 1200; i++)); do
    running "$pid" || return 0
    pause 0.05
  done
  fail "the server has not ended"
}

# gone: the server ends, and its clients see it.
gone ()
{
  stop_server s
  touch ended
  wait $client || fail "the clients: status $?"
}

for signal in INT QUIT HUP TERM; do
  step "mramdisk, SIG$signal"
  serve 1M
  stay pass
  kill -"$signal" "$pid"
  wait_for_server               # stop_server would send a SIGTERM
  gone
  check "what the server said of it" "$(cat s.log)" ""
done

step "mramdisk with threads for each connection, and a control socket"
serve 1M parallel=yes control="$tmp/control"
stay pass
gone

step "the mnbd plugin; what its client wrote is upstream"
start_server u "$mramdisk" 1M
start_server s "$mnbd" socket="$tmp/u.sock"
stay pass
gone
check "upstream" "$(nbdsh -u "$(uri '' u)" -c 'print(h.pread(7, 0).decode())')" \
  written

step "the filter, over mramdisk and over another plugin"
start_server s --filter="$filter" "$mramdisk" 1M mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock"
stay pass
gone
start_server s --filter="$filter" memory 1M mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock"
stay pass
gone
stop_server u

step "TLS"
if nbdkit --dump-config | grep -qx tls=yes && type psktool >out 2>&1; then
  psktool -u alice -p keys.psk >out 2>&1
  start_server s --tls=require --tls-psk="$tmp/keys.psk" "$mramdisk" 1M
  stay 'h.set_tls(nbd.TLS_REQUIRE); h.set_tls_psk_file("keys.psk"); h.set_tls_username("alice")'
  gone
else
  echo "left out: nbdkit has no TLS, or there is no psktool"
fi

step "TCP, and a server in the background"
free_port
nbdkit -i 127.0.0.1 -p "$port" -P "$tmp/tcp.pid" "$mramdisk" 1M
# The server may write its number after the command has ended.
for ((i = 0; i < 1200; i++)); do
  [ ! -s tcp.pid ] || break
  pause 0.05
done
pid=$(cat tcp.pid)
at_exit eval "kill -KILL $pid 2>/dev/null || :"
python <<END
import signal
h = nbd.NBD()
h.connect_tcp("127.0.0.1", "$port")
os.kill($pid, signal.SIGTERM)
for i in range(3000):
    try:
        os.kill($pid, 0)
    except ProcessLookupError:
        break
    time.sleep(0.02)
else:
    raise SystemExit("FAIL: the server has not ended")
END

# A request of 8 MiB whose reply the client begins to read: more than a socket
# takes.
cat >slow.py <<'END'
import signal
s = Raw()
reply = s.go(b"")[0]
while reply != Raw.ACK:
    reply, n = struct.unpack(">II", s.read(20)[12:])
    s.read(n)
s.s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 7, 0, 8 * MiB))
check("handle", s.read(16), struct.pack(">IIQ", 0x67446698, 0, 7))
END

for above in "" --filter=nofilter; do
  step "a reply that is being sent is cut off, or complete ($above)"
  start_server s $above "$mramdisk" 8M max-request=8M
  python <<END
connect().pwrite(pattern(8 * MiB), 0)
$(cat slow.py)
os.kill($pid, signal.SIGTERM)
got = b""
try:
    while more := s.s.recv(MiB):
        got += more
except ConnectionResetError:
    pass
check("the reply", got == pattern(8 * MiB)[:len(got)], True)
END
  stop_server s
done

step "a client that does not read is cut off"
serve 8M max-request=8M
rm -f connected ended
python <<END &
$(cat slow.py)
open("connected", "w").close()
while not os.path.exists("ended"):
    time.sleep(0.01)
END
client=$!
wait_for_clients
gone
