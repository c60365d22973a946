#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that never finishes, but always sends one more byte or chunk, neither
# keeps nbdkit from ending nor a request beyond its time; and what it sends is
# not stored.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# client NAME PYTHON: in the background, until it has an answer or none.
client ()
{
  nbdsh --base-allocation -u "$(uri)" -c "$2" >"$1.out" 2>&1 &
  child "$1" $!
}

happened ()
{
  grep -q '"event": "fault"' u.jsonl
}

# ends FAULT PYTHON: while the server does this to the client, nbdkit is ended.
ends ()
{
  step "$1"
  fault_server u "${server[@]}"
  tell u fault "$1"
  start_forwarder socket="$tmp/u.sock" connections=1 connect-timeout=200 \
    "${tls[@]}"
  client c1 "$2"
  wait_for "the fault" happened
  sleep 1
  stop_server s
  end_child c1
  end_fault_server u
}

requests_end ()
{
  ends on=read,do=trickle,ms=50 'h.pread(65536, 0)'
  ends on=extents,do=trickle,ms=500 \
    'h.block_status(65536, 0, id)'
  ends on=write,do=trickle,ms=500 'h.pwrite(b"x" * 4096, 0)'
  ends on=read,do=sip 'h.pread(512, 0); h.pwrite(b"x" * (16 << 20), 0)'
  ends on=read,do=endless 'h.pread(65536, 0)'
}

# The time limit of a request holds; the next one is answered.
in_time ()
{
  step "request-timeout, and $1"
  fault_server u "${server[@]}"
  start_forwarder socket="$tmp/u.sock" connections=1 request-timeout=1 \
    reconnect=600 "${tls[@]}"
  tell u fault "$1,times=1"
  python <<'END'
check("content", connect().pread(65536, 0), bytes(65536))
END
  # A busy machine may let the limit pass once more.
  [ "$(requests u read | wc -l)" -ge 2 ] || fail "it was not sent again"
  stop_server s
  end_fault_server u
}

server=() tls=()
requests_end
in_time on=read,do=trickle
in_time on=read,do=endless

step "errors without end are an error"
fault_server u
start_forwarder socket="$tmp/u.sock" connections=1
tell u fault on=read,do=endless
python <<'END'
refused("a read", errno.EIO, connect().pread, 65536, 0)
END
grep -q 'it sent too much error text' s.log || fail "$(cat s.log)"
stop_server s
end_fault_server u

for opt in GO SET_META_CONTEXT STRUCTURED_REPLY; do
  ends on=option,opt=$opt,do=trickle 'h.pread(512, 0)'
done
for opt in GO SET_META_CONTEXT; do
  step "opt=$opt,do=endless: the client is refused"
  fault_server u
  tell u fault on=option,opt=$opt,do=endless
  try_forwarder socket="$tmp/u.sock" connect-timeout=200
  [ "$rc" -ne 0 ] || fail "it was let in"
  grep -q 'keeps sending without completing its answer' s.log ||
    fail "$(cat s.log)"
  end_fault_server u
done

step "a list of exports without end"
fault_server u
tell u fault on=option,opt=LIST,do=endless
start_forwarder socket="$tmp/u.sock" dynamic-export=true
nbdsh --opt-mode -u "$(uri)" -c '
n = 0
def count(name, description):
    global n
    n += 1
h.opt_list(count)
assert 0 < n < 10001, n' || fail "there is no list"
grep -q 'list of exports: it is too long: the first' s.log || fail "$(cat s.log)"
stop_server s
end_fault_server u

step "a list of exports, byte by byte"
fault_server u
tell u fault on=option,opt=LIST,do=trickle
start_forwarder socket="$tmp/u.sock" dynamic-export=true connect-timeout=200
nbdsh --opt-mode -u "$(uri)" -c 'h.opt_list(print)' >c1.out 2>&1 &
child c1 $!
wait_for "the fault" happened
stop_server s
end_child c1
end_fault_server u

step "with TLS"
make_certificates good
server=(--tls "$tmp/good")
tls=(tls=require tls-certificates="$tmp/good" tls-verify=false)
requests_end
in_time on=read,do=trickle
in_time on=read,do=endless
