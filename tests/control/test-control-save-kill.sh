#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that is killed after any of the system calls with which a save
# changes its folder leaves the disks of this save or of the one before, and the
# next save removes what it has left.

. "$(dirname "$0")/../functions.sh"

requires strace
strace -o strace.out true 2>/dev/null || {
  echo "strace cannot trace here"
  exit 77
}

start_server v "$mramdisk" size=1M control="$tmp/v.control"
cat >save-kill.py <<'END'
from controltest import *

def put(name, byte):
    h = connect(name)
    for i in range(8):
        h.pwrite(byte * 20000, i * 65536)
    h.shutdown()
END

step "The folder"
serve size=1M control=control
python <<'END'
exec(open("save-kill.py").read())
c = Control()
for byte in b"1", b"2":
    for name in "a", "b":
        put(name, byte)
    job = c.call("disk_save", path=os.environ["tmp"] + "/base")["job"]
    check("saved", c.call("job_wait", job=job, seconds=600)["state"], "done")
END
stop_server s

# One save that is killed at the call of that name and number.  Returns 1 if
# there were not so many calls.  Because of that, errexit is off in here.
round ()
{
  local call=$1 n=$2 pid tracer i
  rm -rf killed
  cp -r base killed
  serve size=1M control=control load=killed
  pid=$(cat s.pid)
  python <<'END' || exit 1
exec(open("save-kill.py").read())
for name in "a", "b":
    put(name, b"3")
END
  strace -f -p "$pid" -o strace.out -e "trace=/^$call" \
    -e "inject=/^$call:signal=KILL:when=$n" 2>strace.err &
  tracer=$!
  # It attaches to all threads, one by one.
  for ((i = 0; i < 3000; i++)); do
    ! grep -q '^TracerPid:.0$' "/proc/$pid"/task/*/status && break
    running "$tracer" || break
    pause 0.02
  done
  ! grep -q '^TracerPid:.0$' "/proc/$pid"/task/*/status ||
    fail "strace has not attached: $(cat strace.err)"
  python <<'END' || exit 1
exec(open("save-kill.py").read())
try:
    c = Control()
    job = c.call("disk_save", path=os.environ["tmp"] + "/killed")["job"]
    c.call("job_wait", job=job, seconds=600)
except (OSError, ValueError, EOFError, SystemExit):
    pass
END
  if running "$pid"; then
    kill -INT "$tracer" 2>/dev/null || :
    wait "$tracer" || :
    if running "$pid"; then
      stop_server s
      return 1
    fi
  fi
  wait "$tracer" || :
  kills=$((kills + 1))
  kill_server s 2>/dev/null || :
  python <<'END' || exit 1
exec(open("save-kill.py").read())
v = Control(os.environ["tmp"] + "/v.control")
killed = os.environ["tmp"] + "/killed"
def job(method, **params):
    j = v.call("job_wait", job=v.call(method, path=killed, **params)["job"],
               seconds=600)
    check("%s (%s)" % (method, j["error"]), j["state"], "done")
job("disk_load", if_exists="replace")
def content(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.connect_unix(os.environ["tmp"] + "/v.sock")
    r = {bytes(h.pread(20000, i * 65536)) for i in range(8)}
    h.shutdown()
    return r
was = content("a")
check("one generation", was in ({b"2" * 20000}, {b"3" * 20000}), True)
check("the same one", content("b"), was)
h = nbd.NBD()
h.set_export_name("b")
h.connect_unix(os.environ["tmp"] + "/v.sock")
h.pwrite(b"next", 0)
h.shutdown()
job("disk_save")
m = json.load(open(killed + "/manifest.json"))
files = {"manifest.json", "mblock-lock", "mblock-map-%d" % m["generation"]}
for f in m["files"]:
    files |= {"mblock-data-%d" % f["file"], "mblock-sums-%d" % f["file"]}
check("nothing is left", set(os.listdir(killed)), files)
END
}

kills=0
for call in openat write fsync rename unlinkat; do
  step "$call"
  for ((k = 1; k < 60; k++)); do
    round "$call" "$k" || break
  done
  [ $k -gt 1 ] || fail "no save was killed at $call"
done
echo "$kills saves were killed"
stop_server v
