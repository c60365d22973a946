#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that returns with other data of the same size is refused, in one
# line, and the right one is taken when it is there again.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
nbdkit file --version >/dev/null 2>&1 ||
  skip "nbdkit's file plugin is not installed"

head -c 8M /dev/urandom >other.img

# refusals: how many lines say that a server is refused for its data.
refusals ()
{
  grep -c 'refused because it is another disk, or has lost data: [0-9]* of [0-9]* blocks that it had on stable storage are different, the first at [0-9]* (see witness=)' \
    s.log || :
}

refused_once ()
{
  [ "$(refusals)" = 1 ]
}

# wrong WHAT UPSTREAM…: the server comes back as that; a read waits for the
# right one.
wrong ()
{
  local what=$1 lines
  shift
  step "$what"
  # As the test begins: a disk that was written, flushed and read.
  truncate -s 0 a.img
  truncate -s 8M a.img
  : >go
  start_server u file file="$tmp/a.img"
  start_forwarder socket="$tmp/u.sock" reconnect=60
  python <<'END' &
import time

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.02)

h = connect()
a = os.urandom(65536)
for i in range(64):
    h.pwrite(a, i << 17)
h.flush()
open("written", "w")
wait_for("copied")
for i in range(8):
    h.pwrite(a[::-1], i << 20)
h.flush()
open("changed", "w")
wait_for("crashed")
for i in range(128):
    data = bytes(h.pread(65536, i << 16))
    expected = a[::-1] if i % 16 == 0 else bytes(65536) if i % 2 else a
    check("byte %d" % (i << 16), data == expected, True)
open("read", "w")
END
  child client $!
  wait_for "the first writes" [ -e written ]
  cp a.img old.img
  : >copied
  wait_for "the last writes" [ -e changed ]
  crash_server u
  : >crashed
  start_server u "$@"
  wait_for "the refusal: $(cat s.log)" refused_once
  [ ! -e read ] || fail "something was read"
  crash_server u
  start_server u file file="$tmp/a.img"
  wait_for "the right server" [ -e read ]
  wait "${children[client]}" || fail "the client"
  unset "children[client]"
  check "refusals" "$(refusals)" 1
  stop_server s
  stop_server u
  rm -f written copied changed crashed read go
}

wrong "a RAM disk that was restarted empty" "$mramdisk" size=8M
wrong "another image of the same size" file file="$tmp/other.img"
wrong "an older snapshot" file file="$tmp/old.img"

# swap PARAMETERS…: a client that has written and flushed, and then another
# image; the test's python says what it finds.
swap ()
{
  start_server u file file="$tmp/a.img"
  start_forwarder socket="$tmp/u.sock" "$@"
  python <<'END'
h = connect()
if h.can_flush() and not h.is_read_only():
    for i in range(16):
        h.pwrite(b"a" * 65536, i << 19)
    h.flush()
h.pread(65536, 0)
open("ready", "w")
END
  rm ready
}

step "nobody is connected: it is taken as it is"
swap reconnect=1
crash_server u
start_server u file file="$tmp/other.img"
python <<'END'
check("the other image", bytes(connect().pread(4096, 0)),
      open("other.img", "rb").read(4096))
END
check "refusals" "$(refusals)" 0
stop_server s
stop_server u

# replace_server ARGUMENTS…: a server with these takes the place of u once the
# client, which was just started, is ready; then the client must end well.
replace_server ()
{
  child client $!
  wait_for "the client" [ -e ready ]
  crash_server u
  start_server u "$@"
  : >crashed
  wait "${children[client]}" || fail "the client: $(cat s.log)"
  unset "children[client]"
  rm ready crashed
  stop_server s
  stop_server u
}

# in_between EXPECTED PARAMETERS…: a client is connected meanwhile.
in_between ()
{
  local expected=$1 readonly=$2
  shift 2
  step "$*, expected: $expected"
  start_server u $readonly file file="$tmp/a.img"
  start_forwarder socket="$tmp/u.sock" reconnect=1 "$@"
  expected=$expected python <<'END' &
h = connect()
for i in range(16):
    if h.is_read_only():
        h.pread(65536, i << 19)
    else:
        h.pwrite(b"a" * 65536, i << 19)
if not h.is_read_only():
    h.flush()
open("ready", "w")
while not os.path.exists("crashed"):
    time.sleep(0.02)
if os.environ["expected"] == "refused":
    refused("another image", None, h.pread, 1, 0)
else:
    check("another image", bytes(h.pread(4096, 0)),
          open("other.img", "rb").read(4096))
END
  replace_server $readonly file file="$tmp/other.img"
}

in_between refused "" witness=true replay-buffer=0
in_between refused -r connections=1
in_between accepted "" witness=false
in_between accepted "" replay-buffer=0

step "a flush that failed confirms nothing, and the next one nothing of before"
fault_server u
start_forwarder socket="$tmp/u.sock" reconnect=1
python <<'END' &
other = connect(server="u")
other.pwrite(b"a" * MiB, 0)
other.shutdown()
h = connect()
check("what was read", bytes(h.pread(MiB, 0)), b"a" * MiB)
tell("fault on=flush,do=error,times=1")
refused("the flush", errno.EIO, h.flush)
h.flush()
open("ready", "w")
while not os.path.exists("crashed"):
    time.sleep(0.02)
check("what the server has lost", bytes(h.pread(MiB, 0)), bytes(MiB))
END
child client $!
wait_for "the client" [ -e ready ]
end_fault_server u
fault_server u
: >crashed
wait "${children[client]}" || fail "the client: $(cat s.log)"
unset "children[client]"
rm ready crashed
stop_server s
end_fault_server u

# written_through SERVER EXPECTED PARAMETERS…: while the client is connected,
# another one writes to the blocks that it has written, through the forwarder
# ("s") or past it ("u"); then the server is restarted.
written_through ()
{
  local server=$1 expected=$2
  shift 2
  step "others write through $server, $*, expected: $expected"
  start_server u file file="$tmp/a.img"
  start_forwarder socket="$tmp/u.sock" reconnect=1 "$@"
  server=$server expected=$expected python <<'END' &
h = connect()
for i in range(64):
    h.pwrite(b"a" * 4096, i << 17)
h.flush()
other = connect(server=os.environ["server"])
for i in range(64):
    other.pwrite(b"b" * 4096, i << 17)
other.flush()
other.shutdown()
open("ready", "w")
while not os.path.exists("crashed"):
    time.sleep(0.02)
if os.environ["expected"] == "refused":
    refused("what others wrote", None, h.pread, 1, 0)
else:
    for i in range(64):
        check("what others wrote", bytes(h.pread(4096, i << 17)), b"b" * 4096)
END
  replace_server file file="$tmp/a.img"
}

written_through s accepted connections=2
written_through u refused connections=2
written_through u accepted witness=false replay-buffer=0
written_through u accepted replay-buffer=0
