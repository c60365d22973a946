#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The exporter serves what metrics prints, survives its server, and refuses what
# it should.

. "${srcdir:-.}/tests/mblockctl.sh"
"$ctl" --list-commands | grep -qx exporter || {
  echo "SKIP: mblockctl was built without libmicrohttpd"
  exit 77
}
unset http_proxy
# With AddressSanitizer, memory that was freed would count as the exporter's.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
ASAN_OPTIONS=$ASAN_OPTIONS:thread_local_quarantine_size_kb=64
start_fake s
fake=${pids[0]}
export MBLOCK_SOCKET=$tmp/s

bad () {
  status 2 exporter --listen "$1"
  error_has "--listen $1: expected"
}
bad 9842
bad :9842
bad localhost:9842
bad '[::1:9842'
status 2 exporter --listen 127.0.0.1:65536
error_has 'expected a number from 0 to 65535'

# It waits for the server as long as that takes (--timeout 0), so whoever waits
# for such a scrape waits for ever.
"$ctl" --timeout 0 exporter 'b*' --listen 127.0.0.1:0 \
  > "$tmp/serving" 2>"$tmp/err" &
exporter=$!
pids+=($exporter)
for ((i = 0; i < 3000; i++)); do
  grep -q metrics "$tmp/serving" && break
  sleep 0.02
done
url=$(sed 's/^serving //' "$tmp/serving")
port=${url#http://127.0.0.1:}
status 1 exporter --listen "127.0.0.1:${port%/*}"
error_has 'cannot listen there: Address already in use'

"$ctl" metrics 'b*' | grep -v '^#' | grep -vE 'uptime|_total|latency' > "$tmp/expected"
shown='a scrape'
cat > "$tmp/get.py" <<'END'
import os, signal, sys, time, urllib.error, urllib.request
url = sys.argv[1]
def get(url, **more):
    try:
        r = urllib.request.urlopen(urllib.request.Request(url, **more))
    except urllib.error.HTTPError as e:
        r = e
    return r.status, r.headers, r.read().decode()
status, headers, text = get(url)
assert status == 200, status
assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
lines = text.splitlines()
for line in open(sys.argv[2]).read().splitlines():
    assert line in lines, line
assert any(l.startswith('mblock_disk_size_bytes{disk="busy"}') for l in lines)
assert not any("golden" in l for l in lines)
assert "mblock_up 1" in lines
status, headers, text = get(url, method="HEAD")
assert (status, text) == (200, ""), (status, text)
assert get(url + "x")[0] == 404
assert get(url, method="POST", data=b"x")[0] == 405
assert get(url[:-len("metrics")])[0] == 200
os.kill(int(sys.argv[3]), signal.SIGKILL)
end = time.monotonic() + 60
while "mblock_up 0" not in text and time.monotonic() < end:
    text = get(url)[2]
assert [l for l in text.splitlines() if l[0] != "#"] == ["mblock_up 0"], text
END
python3 "$tmp/get.py" "$url" "$tmp/expected" "$fake" || wrong "see above"

# The server comes back.
rm -f "$tmp/s"
start_fake s
python3 - "$url" <<'END' || wrong "expected the metrics again"
import sys, urllib.request
assert "mblock_up 1" in urllib.request.urlopen(sys.argv[1]).read().decode()
END

# While the server does not answer, only those wait that want the metrics.
shown='a server that hangs'
python3 - "$url" "${pids[-1]}" <<'END' || wrong "see above"
import os, signal, sys, threading, urllib.request
url, server = sys.argv[1], int(sys.argv[2])
def get(url):
    return urllib.request.urlopen(url).read().decode()
os.kill(server, signal.SIGSTOP)
try:
    got = []
    waiting = [threading.Thread(target=lambda: got.append(get(url)))
               for i in range(3)]
    for t in waiting:
        t.start()
    for i in range(3):
        assert "/metrics" in get(url[:-len("metrics")])
    assert got == []
finally:
    os.kill(server, signal.SIGCONT)
for t in waiting:
    t.join()
assert len(got) == 3 and all("mblock_up 1" in g for g in got), got
END

# Slow readers of a big answer: they hold few copies of it, and no others up.
shown='slow readers'
"$ctl" exporter --listen 127.0.0.1:0 > "$tmp/serving-slow" 2>"$tmp/err" &
slow=$!
pids+=($slow)
for ((i = 0; i < 3000; i++)); do
  grep -q metrics "$tmp/serving-slow" && break
  sleep 0.02
done
python3 - "$(sed 's/^serving //' "$tmp/serving-slow")" "$slow" <<'END' ||
import json, os, socket, sys, urllib.request
url, exporter = sys.argv[1], sys.argv[2]
control = socket.socket(socket.AF_UNIX)
control.connect(os.environ["MBLOCK_SOCKET"])
f = control.makefile("rw")
for i in range(600):
    f.write(json.dumps({"jsonrpc": "2.0", "id": i, "method": "disk_create",
                        "params": {"name": "%d-%s" % (i, "x" * 1000)}}) + "\n")
    f.flush()
    assert "result" in json.loads(f.readline())
size = len(urllib.request.urlopen(url).read())
assert size > 10 << 20, size    # far more than the kernel's buffers take

host, port = url[len("http://"):-len("/metrics")].split(":")
readers = []
for i in range(24):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((host, int(port)))
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert s.recv(8) == b"HTTP/1.1"
    readers.append(s)
rss = [int(l.split()[1]) << 10 for l in open("/proc/%s/status" % exporter)
       if l.startswith("VmRSS:")][0]
assert rss < 12 * size, (rss, size)
assert len(urllib.request.urlopen(url).read()) > 10 << 20

def rest(s):
    n = 0
    try:
        while data := s.recv(1 << 20):
            n += len(data)
            if n >= size:
                break
    except ConnectionError:
        pass
    return n
assert rest(readers[0]) < size, "the first reader was not disconnected"
assert rest(readers[-1]) >= size, "the last reader was disconnected"
END
  wrong "see above"
kill "$slow"
wait "$slow" || wrong "expected exit code 0 after SIGTERM, got $?"

# Clients that say nothing: one more than 64 waits until one of them is
# disconnected, which all are in the end.
shown='silent clients'
python3 - "$url" <<'END' || wrong "see above"
import select, socket, sys, urllib.request
url = sys.argv[1]
host, port = url[len("http://"):-len("/metrics")].split(":")

def is_closed(s, seconds):
    if not select.select([s], [], [], seconds)[0]:
        return False
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True

clients = []
for i in range(64):
    s = socket.socket()
    s.connect((host, int(port)))
    clients.append(s)
assert "mblock_up 1" in urllib.request.urlopen(url).read().decode()
assert any(is_closed(s, 0) for s in clients), "a 65th client was let in"
for s in clients:
    assert is_closed(s, 120), "a silent client was kept"
END

# At the end nobody waits for a server that hangs.
shown='the end while a server hangs'
kill -STOP "${pids[-2]}"
python3 - "$url" > "$tmp/got" <<'END' &
import http.client, sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1]).read().decode())
except (urllib.error.HTTPError, http.client.HTTPException,
        ConnectionError) as e:
    print(repr(e))
END
client=$!
# The process of its scrape.
for ((i = 0; i < 3000; i++)); do
  grep -qsx "PPid:[[:space:]]*$exporter" /proc/[0-9]*/status && break
  sleep 0.02
done
[ $i -lt 3000 ] || wrong "expected a scrape"
kill "$exporter"
for ((i = 0; i < 3000; i++)); do
  kill -0 "$exporter" 2>/dev/null || break
  sleep 0.02
done
[ $i -lt 3000 ] || wrong "it waits for the server"
kill -CONT "${pids[-2]}"
wait "$exporter" || wrong "expected exit code 0 after SIGTERM, got $?"
wait $client || wrong "expected an answer, or none"
[ -s "$tmp/got" ] || wrong "expected that the client says what it got"
! grep -q 'mblock_up 1' "$tmp/got" || wrong "its client got an answer"
exit $rc
