#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that is stopped under load gives its clients no error: their
# connections end, what was answered has been done, and QEMU goes on with the
# next server.

. "$(dirname "$0")/../functions.sh"

filter=$builddir/mnbd-filter.so

# Four clients, each with eight requests in flight, each of these for a block of
# its own.  "model" has what each block may contain after that.
cat >load.py <<'END'
import json, random, signal

CONNECTIONS, DEPTH, BLOCK = 4, 8, 16 * KiB
port, pid = os.environ["port"], int(os.environ["pid"])

def open_one():
    h = nbd.NBD()
    if port:
        h.connect_tcp("127.0.0.1", port)
    else:
        h.connect_unix(os.environ["sock"])
    return h

def content(value):
    return struct.pack(">Q", value) * (BLOCK // 8)

class Client:
    def __init__(self, first):
        self.h = open_one()
        self.idle = list(range(first, first + DEPTH))
        self.value = {b: model[b] for b in self.idle}
        self.sent = {}          # block: the value of a write without a reply
        self.replies = 0
        self.errors = []
        self.ended = False

    def result(self, block, error):
        """Whether it has a reply, and one without an error.  libnbd's ENOTCONN:
        the connection has ended."""
        if error == errno.ENOTCONN:
            return False
        self.idle.append(block)
        self.replies += 1
        if error:
            self.errors.append(errno.errorcode[error])
        return not error

    def write(self, block):
        self.sent[block] = value = random.getrandbits(63)

        def done(error):
            if self.result(block, error.value):
                self.value[block] = self.sent.pop(block)
            return 1
        self.h.aio_pwrite(content(value), block * BLOCK, completion=done)

    def read(self, block):
        buf = nbd.Buffer(BLOCK)

        def done(error):
            if self.result(block, error.value) and \
                    buf.to_bytearray() != content(self.value[block]):
                self.errors.append("content of block %d" % block)
            return 1
        self.h.aio_pread(buf, block * BLOCK, completion=done)

    def flush(self, block):
        def done(error):
            self.result(block, error.value)
            return 1
        self.h.aio_flush(completion=done)

    def go_on(self):
        try:
            while self.idle:
                random.choice((self.write, self.write, self.read,
                               self.flush))(self.idle.pop())
            self.h.poll(1)
        except nbd.Error:
            self.ended = True

# What is there from the servers before.
model = {b: 0 for b in range(CONNECTIONS * DEPTH)}
if os.path.exists("model"):
    h = open_one()
    for block, values in json.load(open("model")):
        found = h.pread(BLOCK, block * BLOCK)
        model[block], = struct.unpack(">Q", found[:8])
        check("block %d: its value is known" % block, model[block] in values,
              True)
        check("block %d" % block, bytes(found), content(model[block]))
    h.shutdown()

clients = [Client(i * DEPTH) for i in range(CONNECTIONS)]
enough = random.randrange(50, 400)
while sum(c.replies for c in clients) < enough:
    for c in clients:
        c.go_on()
        check("the connection has ended", c.ended, False)
os.kill(pid, getattr(signal, os.environ.get("signal", "SIGTERM")))
while not all(c.ended for c in clients):
    for c in clients:
        if not c.ended:
            c.go_on()
check("errors", [c.errors for c in clients], [[]] * CONNECTIONS)
with open("model", "w") as f:
    json.dump([(b, [c.value[b], c.sent.get(b, c.value[b])])
               for c in clients for b in c.value], f)
END

# rounds N NBDKIT-ARGUMENTS…: so many servers, one after the other, ended by
# each of the signals in turn.
rounds ()
{
  local i signals=(SIGTERM SIGINT SIGQUIT SIGHUP)
  rm -f model arena
  for ((i = 0; i < $1; i++)); do
    start_server s "${@:2}" size=1M arena=arena
    port='' pid=$pid signal=${signals[i % 4]} python <load.py
    stop_server s
  done
}

other=(mnbd-mode=forward mnbd-exports=other mnbd-socket="$tmp/none.sock")

step "a Unix socket"
rounds 8 "$mramdisk"

step "one of nbdkit's filters between, and mblock's"
rounds 4 --filter=nofilter "$mramdisk" parallel=no
rounds 4 --filter="$filter" "$mramdisk" parallel=no "${other[@]}"

step "TCP"
free_port
rm -f model arena
for ((n = 0; n < 6; n++)); do
  start_tcp_server "$mramdisk" size=1M arena=arena
  port=$port pid=$pid python <load.py || fail "$(cat tcp.log)"
  wait $pid || fail "status $? of the server: $(cat tcp.log)"
  rm tcp.pid
done

step "several threads for each connection"
if nbdkit "$mramdisk" --dump-plugin | grep -qx mramdisk_disconnect=yes; then
  rounds 4 "$mramdisk" parallel=yes
  rounds 4 --filter=nofilter "$mramdisk"
  rounds 4 --filter="$filter" "$mramdisk" "${other[@]}"
else
  echo "left out: this nbdkit cannot do that"
fi

step "QEMU reconnects"
if ! type qemu-io >out 2>&1; then
  echo "left out: there is no qemu-io"
  exit 0
fi
# Several requests at a time, until the file "enough" exists.
cat >feed.py <<'END'
import os, time
n = 0
while not os.path.exists("enough"):
    print("aio_write -P %d %d 16k" % (n % 250 + 1, n % 64 * 16384), flush=True)
    n += 1
    time.sleep(0.001)
print("aio_flush", flush=True)
END
# What it says, without its prompts, and without what it says of each reply.
said ()
{
  sed 's/qemu-io> //g' qemu.out | grep -v '^$\|^wrote \|KiB, .* ops' || :
}
# goes_on N: wait until it has so many replies.
goes_on ()
{
  local i
  for ((i = 0; i < 6000; i++)); do
    [ "$(grep -c 'wrote ' qemu.out)" -lt "$1" ] || return 0
    running $client || fail "qemu-io has ended: $(said)"
    pause 0.05
  done
  fail "qemu-io does not go on: $(said)"
}

rm -f arena
: >qemu.out
serve size=1M arena=arena
qemu-io --image-opts \
  "driver=nbd,server.type=unix,server.path=$sock,reconnect-delay=600" \
  < <(/usr/bin/python3 feed.py) >qemu.out 2>&1 &
client=$!
for n in 1 2 3 4; do
  goes_on $((n * 200))
  stop_server s
  serve arena=arena
done
goes_on 1000
touch enough
wait $client || fail "qemu-io: status $?: $(said)"
check "what it said" "$(said)" ""
stop_server s
