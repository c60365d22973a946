#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A reply that does not cover its request exactly once is invalid: mnbd drops
# the connection and asks again a few times; then it is an error.  Without TLS,
# and with TLS, where another library reads the replies.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

cat >script <<'END'
h = connect()
h.pwrite(pattern(65536), 0)
h.flush()                       # nothing else is to be sent again

for text, chunks in {
        "half of it twice": [["data", 0, 2048], ["data", 0, 2048]],
        "the other half twice": [["data", 2048, 2048], ["data", 2048, 2048]],
        "an overlap": [["data", 0, 2049], ["data", 2048, 2048]],
        "a hole over data": [["data", 0, 4096], ["hole", 100, 1]],
        "data over a hole": [["hole", 0, 4096], ["data", 4095, 1]],
        "a gap": [["data", 0, 2048], ["data", 2049, 2047]],
        "the end is missing": [["data", 0, 4095]],
        "the begin is missing": [["data", 1, 4095], ["none"]],
        "nothing": [["none"]],
        "a hole of nothing": [["hole", 0, 0], ["data", 0, 4096]],
        "data of nothing": [["data", 0, 0], ["data", 0, 4096]],
        "too much": [["data", 0, 4097]],
        "too far": [["data", 0, 4095], ["data", 4096, 1]],
        "too early": [["data", -1, 4097]],
        "a hole beyond": [["hole", 4000, 97], ["data", 0, 4000]],
        "around 2^64": [["data", -4097, 8192]],
        "a hole around 2^64": [["hole", -4097, 8192]],
        "extents": [["extents", 1, 4096, 0]]}.items():
    wrong_reply(h, text, "read", chunks)
# Of this libnbd 1.18 takes what comes before the empty extent.
if not os.environ["tls"]:
    wrong_reply(h, "an extent of nothing", "extents",
                [["extents", 1, 4096, 0, 0, 0]])
for text, chunks in {
        "no extents": [["none"]],
        "first an extent of nothing": [["extents", 1, 0, 0, 65536, 0]],
        "extents behind those": [["extents", 1, 65536, 0, 1, 0, 1, 0]],
        "extents far behind": [["extents", 1] + [2**32 - 1, 0] * 3],
        "extents twice": [["extents", 1, 4096, 0], ["extents", 1, 65536, 0]],
        "data": [["data", 0, 4096]]}.items():
    wrong_reply(h, text, "extents", chunks)
wrong_reply(h, "data for a write", "write", [["data", 0, 4096]])

right_replies(h)
END
hostile ()
{
  # Reads are counted: only those of the test are wanted.
  start_forwarder "$@" reconnect=30 witness=false
  { echo 'from mnbdtest import *'; cat script; } | tls=$tls python
  grep -q 'broke the protocol: it sent the same data twice' s.log ||
    fail "the log does not say what is wrong: $(cat s.log)"
  stop_server s
}

fault_server u
tls='' hostile socket="$tmp/u.sock" connections=1
end_fault_server u

step "with TLS"
make_certificates good
fault_server u --tls "$tmp/good"
tls=yes hostile socket="$tmp/u.sock" connections=1 tls=require \
  tls-certificates="$tmp/good" tls-verify=false
