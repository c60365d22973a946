#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# template=: connecting to an unknown name creates a clone of a disk.
# auto-destroy=yes: such a disk is destroyed with its last client.

. "$(dirname "$0")/../functions.sh"

step "each name is a clone, which a probe does not leave behind"
serve disk=golden,size=1M,sector-size=512 template=golden template-quota=8k
python <<'END'
golden = connect("golden")
golden.pwrite(b"G" * 4096, 0)
a = connect("a")
check("size", a.get_size(), MiB)
check("content", a.pread(512, 0), b"G" * 512)
refused("a part of a sector", errno.EINVAL, a.pread, 100, 0)
golden.pwrite(b"H" * 4096, 0)
check("a is as it was", a.pread(512, 0), b"G" * 512)
check("the next one is not", connect("b").pread(512, 0), b"H" * 512)
a.pwrite(b"a" * 8192, 8192)
refused("over the quota", errno.ENOSPC, a.pwrite, b"a" * 4096, 0)
check("both connections have one disk", connect("a").pread(512, 8192),
      b"a" * 512)
a.shutdown()
become("b, a probe, is gone", lambda: sorted(names()),
       ["", "a", "golden"])
check("a was written, and stays", connect("a").pread(512, 8192), b"a" * 512)
END
stop_server s

step "with auto-destroy, a written disk goes with its last client"
serve disk=golden,size=1M template=golden auto-destroy=yes control=ctl
python <<'END'
a, other = connect("a"), connect("a")
a.pwrite(b"a", 0)
a.shutdown()
check("a stays while a client is there", other.pread(1, 0), b"a")
connect("golden").pwrite(b"g", 0)
other.shutdown()
become("a is gone", lambda: sorted(names()),
       ["", "golden"])
check("a is new", connect("a").pread(1, 0), b"g")
END

step "control requests do not keep it, except create"
python <<'END'
import json, socket
def call(method, **params):
    s = socket.socket(socket.AF_UNIX)
    s.connect("ctl")
    s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                          "params": params}).encode() + b"\n")
    answer = json.loads(s.makefile().readline())
    check("errors of " + method, answer.get("error"), None)
    return answer["result"]
a, b, c = connect("a"), connect("b"), connect("c")
for h in a, b, c:
    h.pwrite(b"x", 0)
call("disk_resize", name="a", size=2 << 20)
call("disk_rename", name="a", new_name="a2")
call("disk_rename", name="a2", new_name="a")
call("disk_set", name="a", quota=1 << 20)
call("disk_clone", source="a", name="copy")
call("disk_create", name="b", if_exists="ignore")
for h in a, b, c:
    h.shutdown()
become("a and c are gone", lambda: sorted(names()),
       ["", "b", "copy", "golden"])
check("the copy", connect("copy").get_size(), 2 << 20)
call("disk_info", name="b")
check("b", connect("b").pread(1, 0), b"x")
call("disk_destroy", name="golden")
refused("without a template", None, connect, "d")
END
grep -q 'export "d": there is no such disk, and template=golden does not exist' \
  s.log || fail "the log does not say why d was refused"
stop_server s

# The client is still connected when the server ends, and may come back.  With
# the filter, it is the filter that disconnects it.
outlasts ()                     # END NBDKIT-ARGUMENTS…
{
  local end=$1 client i
  step "a disk of an arena outlasts the server ($*), then goes with its client"
  rm -f ctl ready file
  start_server s "${@:2}" arena=file disk=golden,size=1M template=golden \
    auto-destroy=yes
  nbdsh -u "$(uri a)" -c "h.pwrite(b'a', 0)
open('ready', 'w').close()
import time
while True:
    time.sleep(1)" 2>err &
  client=$!
  for ((i = 0; i < 600; i++)); do
    [ -e ready ] && break
    sleep 0.1
  done
  $end s
  kill "$client" 2>/dev/null || :
  serve arena=file disk=golden,size=1M template=golden auto-destroy=yes \
    control=ctl
  python <<'END'
check("the names", sorted(names()), ["", "a", "golden"])
a = connect("a")
check("what was written", a.pread(1, 0), b"a")
a.shutdown()
become("a is gone", lambda: sorted(names()),
       ["", "golden"])
END
  stop_server s
}
outlasts kill_server "$mramdisk"
for ((n = 0; n < 5; n++)); do
  outlasts stop_server "$mramdisk"
  outlasts stop_server --filter="$builddir/mnbd-filter.so" "$mramdisk" \
    mnbd-mode=forward mnbd-exports=other mnbd-socket="$tmp/none.sock"
done

step "what cannot be"
refused_start "template=g: expected a disk= of that name, control=, arena= or \
load=" "$mramdisk" template=g disk=x
refused_start "template-quota=1M: expected template= as well" \
  "$mramdisk" template-quota=1M
refused_start "template=g: expected no auto-create=no: without it no disk is \
created by connecting" "$mramdisk" template=g disk=g auto-create=no
refused_start "auto-destroy=yes: expected no auto-create=no: without it no disk \
is created by connecting" "$mramdisk" disk=g auto-create=no auto-destroy=yes
