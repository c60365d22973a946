#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks over origins of all kinds of servers: a qcow2 image with a backing file
# in qemu-nbd, a file, HTTP through nbdkit's curl plugin, another mramdisk.

. "$(dirname "$0")/../functions.sh"

requires nbdcopy cmp
/usr/bin/python3 -c '
import random
r = random.Random(2)
with open("image", "wb") as f:
    f.truncate(6 << 20)
    for at in range(0, 6, 2):
        f.seek(at << 20)
        f.write(r.randbytes(700_000))'

# shows KIND URI: a clone of a disk over this origin shows the image, to one
# that reads in order and to one that begins elsewhere.
shows ()
{
  step "$1"
  serve "disk=golden,origin=$2,readonly=yes" template=golden auto-destroy=yes
  python <<'END'
image = open("image", "rb").read()
h = connect("elsewhere")
check("size", h.get_size(), len(image))
for at in 5 * MiB + 1000, 2 * MiB + 1, 4095, 4 * MiB + 700_000 - 10:
    n = min(100_000, len(image) - at)
    check("at %d" % at, h.pread(n, at), image[at:at + n])
h.pwrite(b"mine", 2 * MiB + 5)
check("around a write", h.pread(12, 2 * MiB + 1),
      image[2 * MiB + 1:2 * MiB + 5] + b"mine" +
      image[2 * MiB + 9:2 * MiB + 13])
END
  nbdcopy "$(uri vm)" copy
  cmp copy image || fail "$1: a clone differs from the image"
  stop_server s
}

start_server up file image
shows "a file" "$(uri '' up)"
stop_server up

start_server other "$mramdisk" size=6M
nbdcopy image "$(uri disk other)"
shows "another mramdisk" "$(uri disk other)"
stop_server other

if type -P qemu-nbd qemu-img >/dev/null; then
  qemu-img create -q -f qcow2 -b image -F raw over.qcow2
  qemu-io -f qcow2 -c 'write -P 7 3M 70000' over.qcow2 >out || fail "$(cat out)"
  /usr/bin/python3 -c '
f = open("image", "r+b")
f.seek(3 << 20)
f.write(bytes([7]) * 70000)' # what the backing file does not have
  qemu-nbd -r -t -e 8 -f qcow2 -k "$tmp/qemu.sock" over.qcow2 &
  at_exit kill $!
  for ((i = 0; i < 600; i++)); do
    [ -S qemu.sock ] && break
    pause 0.05
  done
  shows "a qcow2 image" "nbd+unix:///?socket=$tmp/qemu.sock"
else
  step "a qcow2 image: left out, qemu-nbd is not installed"
fi

if nbdkit curl --dump-plugin >/dev/null 2>&1; then
  cat >web.py <<'END'
# A server of HTTP that knows ranges.
import http.server, re
data = open("image", "rb").read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def head(self):
        m = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(m[1]):int(m[2]) + 1] if m else data
        self.send_response(206 if m else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if m:
            self.send_header("Content-Range", "bytes %s-%s/%d" %
                             (m[1], m[2], len(data)))
        self.end_headers()
        return part
    def do_HEAD(self):
        self.head()
    def do_GET(self):
        self.wfile.write(self.head())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("port.new", "w").write(str(server.server_address[1]))
import os
os.rename("port.new", "port")
server.serve_forever()
END
  /usr/bin/python3 web.py &
  at_exit kill $!
  for ((i = 0; i < 600; i++)); do
    [ -e port ] && break
    pause 0.05
  done
  start_server web curl "http://127.0.0.1:$(cat port)/image"
  shows "HTTP" "$(uri '' web)"
  stop_server web
else
  step "HTTP: left out, nbdkit's curl plugin is not installed"
fi
