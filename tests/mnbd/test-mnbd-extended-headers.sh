#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With libnbd 1.18, mnbd asks a server for extended headers: one block status
# request then covers any number of bytes.  What a hostile server does with them
# ends its connection.  Without TLS, and with TLS, where another library reads
# the replies.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set extended=yes,size=1T
start_forwarder socket="$tmp/u.sock" connections=2
check "size" "$(nbdinfo --size "$(uri)")" $((1 << 40))
stop_server s
asked=$(grep -c EXTENDED_HEADERS u.jsonl || :)
has=$(nbdkit "$builddir/mnbd.so" --dump-plugin |
        sed -n 's/^mnbd_extended_headers=//p')
if [ "$has" = no ]; then
  check "times that an old libnbd asked" "$asked" 0
  skip "extended headers need libnbd 1.18"
fi
check "what --dump-plugin says" "$has" yes
# Only the first connection uses block status.
check "connections that asked" "$asked" 1
end_fault_server u

cat >script <<'END'
import random

h = connect()
data = pattern(65536)
# Everything that there is, so that all headers are in use.
h.pwrite(data, 0)
h.pwrite(data[:4096], 65536, nbd.CMD_FLAG_FUA)
h.zero(4096, 8192)
h.trim(4096, 16384)
h.cache(4096, 0)
h.flush()
data = data[:8192] + bytes(4096) + data[12288:16384] + bytes(4096) + \
    data[20480:]
check("content", h.pread(65536, 0), data)
refused("an error", errno.EINVAL, h.pread, 4096, 2**40 - 1)
random.seed(1)
shadow = bytearray(1 << 20)
h.pwrite(bytes(shadow), 0)
for i in range(200):
    at = random.randrange(len(shadow))
    n = random.randrange(1, min(len(shadow) - at, 70000) + 1)
    if i % 3 == 0:
        shadow[at:at + n] = random.randbytes(n)
        h.pwrite(bytes(shadow[at:at + n]), at)
    elif i % 3 == 1:
        shadow[at:at + n] = bytes(n)
        h.zero(n, at)
    else:
        check("content at %d" % at, h.pread(n, at) == shadow[at:at + n], True)
h.flush()
h.pwrite(bytes(65536), 0)
h.pwrite(pattern(65536), 0)
h.flush()

for text, chunks in {
        "half of it twice": [["data", 0, 2048], ["data", 0, 2048]],
        "a gap": [["data", 0, 2048], ["data", 2049, 2047]],
        "nothing": [["none"]],
        "too much": [["data", 0, 4097]],
        "around 2^64": [["data", -4097, 8192]],
        "a hole over data": [["data", 0, 4096], ["hole", 100, 1]],
        "extents": [["extents", 1, 4096, 0]]}.items():
    wrong_reply(h, text, "read", chunks)
for text, chunks in {
        "no extents": [["none"]],
        "first an extent of nothing": [["extents", 1, 0, 0, 65536, 0]],
        "extents behind those": [["extents", 1, 65536, 0, 1, 0, 1, 0]],
        "extents far behind": [["extents", 1] + [2**62, 0] * 3],
        "an extent around 2^63": [["extents", 1, 2**63, 0]],
        "an extent around 2^64": [["extents", 1, 4096, 0, 2**64 - 1, 0]],
        "more extents than there are":
            [["counted", 2, 1, 65536, 0]],
        "fewer extents than there are":
            [["counted", 0, 1, 65536, 0]],
        "2^32 - 1 extents": [["counted", 2**32 - 1, 1, 65536, 0]],
        "extents twice": [["extents", 1, 4096, 0], ["extents", 1, 65536, 0]],
        "data": [["data", 0, 4096]]}.items():
    wrong_reply(h, text, "extents", chunks)
wrong_reply(h, "data for a write", "write", [["data", 0, 4096]])
if not os.environ["tls"]:
    # libnbd overlooks the first two, which do no harm.
    wrong_reply(h, "extents of the shorter kind", "extents",
                [["short", 1, 65536, 0]])
    wrong_reply(h, "another offset", "read", "do=offset")
    wrong_reply(h, "a payload of 2^32 bytes", "extents", [["long", 2**32]])
    wrong_reply(h, "a payload of 2^64 bytes", "extents", [["long", 2**64 - 1]])

right_replies(h)
tell('fault on=extents,do=chunks,json=[["extents",1,%d,3]]' % (2**40))
check("an extent behind the request", extents_once(h, 65536)[0][1], "hole")
END
hostile ()
{
  step "$*"
  start_forwarder "$@" reconnect=30 witness=false
  { echo 'from mnbdtest import *'; cat script; } | tls=$tls python
  grep -q 'broke the protocol' s.log || fail "the log: $(cat s.log)"
  ! grep bad-magic u.jsonl || fail "a request had the wrong header"
  grep -q EXTENDED_HEADERS u.jsonl || fail "extended headers were not in use"
  stop_server s
}
fault_server u --set extended=yes,size=1T
tls='' hostile socket="$tmp/u.sock" connections=1
end_fault_server u
make_certificates good
fault_server u --set extended=yes,size=1T --tls "$tmp/good"
tls=yes hostile socket="$tmp/u.sock" connections=1 tls=require \
  tls-certificates="$tmp/good" tls-verify=false
end_fault_server u

# How often a pull of a large and empty disk asks: a few times, and without
# extended headers at least once for each 4 GiB.
pull ()                         # SETTING
{
  fault_server u --set size=8T,"$1"
  start_server r "$mramdisk" control="$tmp/r.control" max-size=16T
  "$builddir/mblockctl" -s "$tmp/r.control" create big \
    --from "$(uri '' u)" >pull.out 2>&1 || fail "pull: $(cat pull.out)"
  check "size" "$(nbdinfo --size "nbd+unix:///big?socket=$tmp/r.sock")" \
    $((8 << 40))
  extents=$(requests u extents | wc -l)
  echo "$1: $extents block status requests for 8 TiB"
  stop_server r
  end_fault_server u
}
pull extended=no
[ "$extents" -gt 2000 ] || fail "compact headers: only $extents requests"
pull extended=yes
[ "$extents" -le 16 ] || fail "extended headers: $extents requests"

requires qemu-nbd qemu-img qemu-io
step "a large image of qemu-nbd"
qemu-img create -q -f qcow2 big.qcow2 8T
qemu-io -f qcow2 -c 'write -P 7 6T 128k' big.qcow2 >out 2>&1 ||
  fail "qemu-io: $(cat out)"
qemu-nbd -t -e 4 -f qcow2 -k "$tmp/q.sock" big.qcow2 2>q.err &
child q $!
wait_for "qemu-nbd" [ -S q.sock ]
start_server r "$mramdisk" control="$tmp/r.control" max-size=16T
"$builddir/mblockctl" -s "$tmp/r.control" create big --from "$(uri '' q)" \
  >pull.out 2>&1 || fail "pull: $(cat pull.out)"
python <<'END'
h = connect("big", server="r")
check("size", h.get_size(), 8 << 40)
at = 6 << 40
check("content", bytes(h.pread(3 << 16, at - 65536)),
      bytes(65536) + b"\7" * 131072)
check("behind it", bytes(h.pread(65536, at + 131072)), bytes(65536))
END
stop_server r
end_child q
