#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Whatever names a client, a server or the command line use, the log is plain
# text: they cannot forge a line, or send anything to a terminal.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

export LC_ALL=C.UTF-8

# clean FILE WHAT: each line is nbdkit's own, and shows what it quotes as text.
clean ()
{
  /usr/bin/python3 - "$1" "$2" <<'END' || fail "$2: $(cat -v "$1")"
import re
import sys

data = open(sys.argv[1], "rb").read()
text = data.decode()                    # all of it is UTF-8
bad = re.findall("[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f"
                 "\u2028-\u202e\u2060-\u206f\ufeff]", text)
forged = [l for l in text.splitlines()
          if not re.match(r"nbdkit: ", l) or re.match("FORGED", l)]
if bad or forged:
    sys.exit("%s: %r, %r" % (sys.argv[2], bad, forged[:3]))
END
}

# names SERVER: ask it for exports of all such names.
ask ()
{
  python <<END
for name in (b"x\nFORGED \x1b[31m", b"\xc2\x9b31m", "\u202etxt.".encode(),
             "\u2066a\u2069\u200b\ufeff".encode(), "\u2028FORGED".encode(),
             b"\x7f\x01\t", b'quote" and \\\\ backslash', b"\xff\xfe",
             b"\xc0\x8aFORGED", "a\u2029".encode() * 300):
    try:
        Raw("$1").go(name)
    except (EOFError, OSError):
        pass
END
}

step "a client's names"
start_server u "$mramdisk" auto-create=no disk=a,size=1M
start_server socket "$builddir/mnbd.so" socket="$tmp/u.sock" dynamic-export=true
start_server uri "$builddir/mnbd.so" "nbd+unix:///?socket=$tmp/u.sock" \
  dynamic-export=true
start_server away "$builddir/mnbd.so" socket="$tmp/nothing" dynamic-export=true
for mode in forward mirror cache; do
  start_server $mode --filter="$filter" "$mramdisk" size=1M mnbd-mode=$mode \
    mnbd-socket="$tmp/u.sock" mnbd-dynamic-export=true 'mnbd-exports=*' \
    -D mnbd.stats=1
done
for id in u socket uri away forward mirror cache; do
  ask $id
  [ -s $id.log ] || fail "$id has logged nothing"
  clean $id.log "$id"
done
for id in u socket uri forward; do
  grep -qF 'x\x0aFORGED \x1b[31m' $id.log || fail "$id: $(cat $id.log)"
  grep -qF '\u{9b}31m' $id.log || fail "$id: $(cat $id.log)"
  grep -qF '\u{202e}txt.' $id.log || fail "$id: $(cat $id.log)"
done
# A quote cannot end the name.
grep -qF 'export "quote\" and \\ backslash": ' u.log || fail "$(cat u.log)"
for id in socket uri away forward mirror cache; do
  stop_server $id
  clean $id.log "$id, at its end"
done

step "an upstream that goes"
start_server sec "$mramdisk" size=1M
start_server m --filter="$filter" "$mramdisk" size=1M mnbd-mode=mirror \
  mnbd-socket="$tmp/sec.sock" mnbd-dynamic-export=true 'mnbd-exports=*' \
  mnbd-control="$tmp/m.ctl" -D mnbd.stats=1
start_server p "$builddir/mnbd.so" socket="$tmp/sec.sock" dynamic-export=true \
  reconnect=0.1 -D mnbd.stats=1
python <<'END'
name = "x\nFORGED \x1b[31m\u202e"
a, b = connect(name, server="m"), connect(name, server="p")
a.pwrite(b"x", 0)
b.pwrite(b"x", 0)
import os, signal
os.kill(int(open("sec.pid").read()), signal.SIGKILL)
a.pwrite(b"y", 0)
refused("a write", None, b.pwrite, b"y", 0)
END
crash_server sec
wait_for "a line of the mirror" grep -q secondary m.log
for id in m p; do
  clean $id.log "$id"
done
"$builddir/mblockctl" -s m.ctl mirror status >status 2>&1 || :
grep -qF '"x\nFORGED \x1b[31m\u{202e}"' status || fail "$(cat -v status)"
for id in m p; do
  stop_server $id
  clean $id.log "$id, at its end"
done

step "a server's names"
fault_server f --export $'a\x1b[31m,size=1M' --export $'b\u202e,size=1M'
start_server l --filter="$filter" "$mramdisk" size=1M mnbd-mode=forward \
  mnbd-socket="$tmp/f.sock" mnbd-dynamic-export=true
python <<'END'
check("names", sorted(names(server="l")), ["a\x1b[31m", "b\u202e"])
END
clean l.log "the list"
stop_server l

step "the command line"
evil=$'\x1b[31m\nFORGED\u009b\u202e'
for bad in "socket=/$evil" "uri=nbd://h/$evil" "export=a$evil" \
           "tls-psk=/$evil" "tls-certificates=/$evil" "tls=$evil" \
           "port=$evil" "vsock=$evil" "connections=$evil" "nosuch=$evil" \
           "uri=nbd+unix:///?socket=/x&%0aFORGED%1b=%0aFORGED"; do
  for plugin in "$builddir/mnbd.so" filter; do
    case $bad in
      uri=*) forwarder "$bad" "$bad" export=b;;
      port=*) forwarder hostname=h "$bad";;
      vsock=*) forwarder "$bad";;
      *) forwarder "$bad" socket=/x hostname="$evil" export="b$evil";;
    esac
    timeout 60 nbdkit -U - "${forwarder[@]}" --run true >out 2>&1 &&
      fail "$bad has started"
    clean out "$bad"
    check "lines about $bad" "$(wc -l <out)" 1
  done
done
for bad in "size=$evil" "disk=$evil,size=x" "disk=a,$evil" "control=/$evil/c" \
           "default=$evil" "max-memory=$evil"; do
  timeout 60 nbdkit -U - "$mramdisk" auto-create=no "$bad" --run true >out \
    2>&1 && fail "$bad has started"
  clean out "$bad"
done
for bad in "mnbd-mode=$evil" "mnbd-exports=[$evil" "mnbd-control=/$evil/c" \
           "mnbd-control-mode=$evil" "mnbd-control-group=$evil" "mnbd-rate=$evil" "mnbd-cache=$evil"; do
  timeout 60 nbdkit -U - --filter="$filter" "$mramdisk" size=1M \
    mnbd-socket=/x mnbd-mode=mirror "$bad" --run true >out 2>&1 &&
    fail "$bad has started"
  clean out "$bad"
done
timeout 60 nbdkit -U - --filter="$filter" "$builddir/mnbd.so" \
  socket="/$evil" mnbd-socket="/$evil" mnbd-mode=mirror --run true >out 2>&1 &&
  fail "both sides are the same"
clean out "both sides"

step "the control socket"
start_server c "$mramdisk" auto-create=no disk=a,size=1M \
  control="$tmp/c.ctl"
/usr/bin/python3 - "$tmp/c.ctl" <<'END'
import json
import socket
import sys

s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rwb")
evil = "x\nFORGED \x1b[31m\u202e\u009b"
for line in (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "disk_create",
                         "params": {"name": evil, "size": 1 << 20}}),
             json.dumps({"jsonrpc": "2.0", "id": 1, "method": "disk_destroy",
                         "params": {"name": evil + "no"}}),
             json.dumps({"jsonrpc": "2.0", "id": 1, "method": evil}),
             json.dumps({"jsonrpc": "2.0", "id": 1, "method": "disk_list",
                         "params": {evil: 1}}),
             "\x1b[31m\u202e", '{"a\u202e'):
    f.write(line.encode() + b"\n")
    f.flush()
    json.loads(f.readline())
END
clean c.log "the control socket"
timeout 60 nbdinfo --list "nbd+unix:///?socket=$tmp/c.sock" >/dev/null
stop_server c
clean c.log "the control socket, at its end"
