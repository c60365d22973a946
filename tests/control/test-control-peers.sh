#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# client_list says who a client is: its address, its process, user and group,
# and what its TLS certificate says, if nbdkit (1.40) tells.  A client writes
# its certificate itself, so the names in it are escaped.

. "$(dirname "$0")/../functions.sh"

# has FEATURE: what the nbdkit that runs offers.
has ()
{
  nbdkit "$mramdisk" --dump-plugin | sed -n "s/^mramdisk_$1=//p"
}

serve size=1M control=control
python <<'END'
from controltest import *
c = Control()
h = connect("a")
one, = c.call("client_list")["clients"]
check("of a Unix socket", [one[k] for k in ("address", "pid", "uid", "gid")],
      ["unix", os.getpid(), os.getuid(), os.getgid()])
check("no TLS", (one["tls_dn"], one["tls_issuer_dn"]), (None, None))
END
# nbdkit logs an error for each client if it is asked in vain.
! grep -q 'security context\|SO_PEERSEC\|getsockopt' s.log ||
  fail "log: $(cat s.log)"
stop_server s

for host in 127.0.0.1 ::1; do
  step "TCP, $host"
  if ! /usr/bin/python3 -c 'import socket, sys
socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET).bind(
    (sys.argv[1], 0))' "$host" 2>no-address; then
    echo "left out: there is no $host here: $(tail -n 1 no-address)"
    continue
  fi
  free_port "$host"
  start_tcp_server "$mramdisk" size=1M control="$tmp/tcp.control"
  host=$host port=$port mblockctl=$builddir/mblockctl python <<'END'
from controltest import *
import subprocess

host = os.environ["host"]
h = nbd.NBD()
h.connect_tcp(host, os.environ["port"])
s = socket.socket(fileno=os.dup(h.aio_get_fd()))
mine = ("[%s]:%d" if ":" in host else "%s:%d") % s.getsockname()[:2]
c = Control(os.environ["tmp"] + "/tcp.control")
one, = c.call("client_list")["clients"]
check("client", [one[k] for k in ("address", "pid", "uid", "gid",
                                  "security_context")], [mine] + [None] * 4)
shown = subprocess.run([os.environ["mblockctl"], "-s", "tcp.control",
                        "clients"], capture_output=True, text=True, check=True)
check("what mblockctl shows: " + shown.stdout, mine in shown.stdout.split(),
      True)
END
  kill $pid
  wait $pid || fail "status $? of the server: $(cat tcp.log)"
  rm tcp.pid
done

step "certificates"
make_certificates good
printf '%s\n' "dn = \"cn=$(printf 'e\033[31mvil\342\200\256'),o=Big Co\"" \
  tls_www_client signing_key >evil.info
certtool --generate-certificate --load-privkey=good/client-key.pem \
  --load-ca-certificate=good/ca-cert.pem --load-ca-privkey=good/ca-key.pem \
  --template=evil.info --outfile=good/evil.pem >out 2>&1 ||
  fail "certtool: $(cat out)"
cp -R good evil
mv evil/evil.pem evil/client-cert.pem
start_server s --tls=require --tls-certificates="$tmp/good" --tls-verify-peer \
  "$mramdisk" size=1M control=control
rc=0
mblockctl=$builddir/mblockctl has_dn=$(has peer_tls_dn) python <<'END' || rc=$?
from controltest import *
import subprocess

def tls(folder):
    def setup(h):
        h.set_tls(nbd.TLS_REQUIRE)
        h.set_tls_certificates(folder)
    return setup

def clients():
    return subprocess.run([os.environ["mblockctl"], "-s", "control", "clients"],
                          capture_output=True, text=True, check=True).stdout

c = Control()
h = connect("a", setup=tls("good"))
one, = c.call("client_list")["clients"]
names = one["tls_dn"], one["tls_issuer_dn"]
if os.environ["has_dn"] == "no":
    check("an old nbdkit", names, (None, None))
    check("no column", "CERTIFICATE" in clients(), False)
    raise SystemExit(77)
check("names", names, ("CN=localhost", "CN=mblock test"))
check("column", "CERTIFICATE" in clients() and "CN=localhost" in clients(),
      True)
del h
c.wait("it leaves", lambda: not c.call("client_list")["clients"])
h = connect("a", setup=tls("evil"))
one, = c.call("client_list")["clients"]
for text in one["tls_dn"], clients():
    if "vil" not in text or "\033" in text or "\u202e" in text:
        raise SystemExit("FAIL: not escaped: %r" % text)
END
[ $rc -ne 77 ] || skip "names in certificates need nbdkit 1.40"
[ $rc -eq 0 ] || fail "status $rc"
