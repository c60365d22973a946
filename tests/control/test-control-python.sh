#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The Python module does what its documentation says, with a real server, and
# the manual's example runs as it is.

. "$(dirname "$0")/../functions.sh"

export PYTHONPATH=$testdir/../python:$PYTHONPATH
serve size=1M control=control
export MBLOCK_SOCKET=$tmp/control

step "the manual's example"
awk '/^=head1 PYTHON/ { on = 1 } /^To follow/ { exit } on && /^ / { print }' \
  "$testdir/../docs/mblock-control.pod" | cut -c 2- |
  sed "s|/tmp/mblock.sock|$tmp/control|" >example.py
grep -q 'server.reset' example.py || fail "there is no example in the manual"
python <example.py >out
check "what it prints" "$(paste -sd ' ' out)" "golden 0 vm-1 0"

step "every function"
python <<'END'
import threading
import mblock
from nbdtest import *

def raises(kind, fn, *args, **kwargs):
    try:
        fn(*args, **kwargs)
    except kind as e:
        return e
    raise SystemExit("FAIL: expected %s" % kind.__name__)

s = mblock.Server()
check("version", s.call("version")["name"], "mramdisk")
check("a parameter named method",
      s.call("help", method="stats")["methods"][0]["name"], "stats")
s.destroy("golden")
seen = s.watch()
check("created", s.create("a", 1 << 20, quota=8192, sector_size=512), True)
check("ignored", s.create("a", if_exists="ignore"), False)
e = raises(mblock.DiskExists, s.create, "a")
check("exists", (e.code, e.errno), (-32001, "EEXIST"))
check("snapshot", s.snapshot("a", "a@1"), True)
check("clone", s.clone("a", "b"), True)
check("info", (s.info("b")["parent"], s.info("a@1")["readonly"]), ("a", True))
h = connect("b")
h.pwrite(b"x" * 4096, 0)
check("diff", s.diff("a", "b"), [{"offset": 0, "length": 4096}])
check("clients", [(c["disk"], c["pid"]) for c in s.clients("b")],
      [("b", os.getpid())])
e = raises(mblock.DiskInUse, s.destroy, "b")
check("who", e.data["clients"], 1)
raises(mblock.DiskInUse, s.reset, "b")
raises(mblock.DiskInUse, s.resize, "b", 4096)
check("errno", raises(mblock.Error, s.set, "b", quota=1).errno, "EDQUOT")
# An answer to a call that was interrupted is not the next one's.
s._socket.sendall(b'{"jsonrpc":"2.0","id":0,"method":"disk_info"}\n')
check("the next call's", s.call("version")["name"], "mramdisk")
check("quota", s.set("b", quota=1, force=True)["quota"], 1)
check("no quota", s.set("b", quota=mblock.NULL)["quota"], None)
check("reset", s.reset("b", force=True), "a")
h.shutdown()
h = connect("b")
check("disconnected", s.disconnect("b") >= 1, True)
check("resized", s.resize("a", 2 << 20), 1 << 20)
s.rename("a", "A")
check("exists", (s.exists("a"), s.exists("A")), (False, True))
check("names", sorted(d["name"] for d in s.disks()), ["A", "a@1", "b", "vm-1"]
      if s.exists("vm-1") else ["A", "a@1", "b"])
s.destroy("b", force=True)
s.destroy("b", ignore_missing=True)
raises(mblock.NoDisk, s.destroy, "b")
check("stats", s.stats()["arena"]["disks"] >= 2, True)
kinds = [next(seen)["event"] for _ in range(3)]
check("events", kinds, ["created", "cloned", "cloned"])
for i in range(1100):
    s.clone("A", "many-%d" % i)
check("pages", len(s.disks()) >= 1102, True)
check("odd names", (s.create("\n\u202e\"", 0), s.exists("\n\u202e\"")),
      (True, True))
END

step "a server that goes"
python <<'END'
import os, signal, time
import mblock
s = mblock.Server()
s.call("version")
os.kill(int(open("s.pid").read()), signal.SIGKILL)
try:
    while True:
        s.call("version")
except mblock.ConnectionLost:
    pass
END
servers=()
