#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# template= and auto-destroy=yes together with load=, arena= and an origin: from
# the first second on, each name is a disk of its own, whatever happens to the
# server, the template and the memory.  Whoever only looks neither creates nor
# destroys a disk.

. "$(dirname "$0")/../functions.sh"

requires_filter delay log
ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control
cat >template.py <<'PY'
from controltest import *
image = open("image", "rb").read()

def look(name):
    """The size, with NBD_OPT_INFO."""
    def setup(h):
        h.set_opt_mode(True)
        h.set_export_name(name)
    h = connect(setup=setup)
    h.opt_info()
    size = h.get_size()
    h.opt_abort()
    return size

def whole(h):
    return b"".join(bytes(h.pread(MiB, i)) for i in range(0, h.get_size(), MiB))
PY
/usr/bin/python3 -c '
import random
open("image", "wb").write(random.Random(5).randbytes(4 << 20))'

step "a folder with a template, its clone, and what only somebody looks at"
serve disk=golden,size=4M control=control template=golden auto-destroy=yes
python <<'PY'
exec(open("template.py").read())
h = connect("golden")
for i in range(4):
    h.pwrite(image[i * MiB:(i + 1) * MiB], i * MiB)
c = Control()
c.call("disk_set", name="golden", readonly=True)
vm, looks = connect("vm"), connect("looks")
vm.pwrite(b"vm", 100)
check("what a reader sees", looks.pread(10, 0), image[:10])
def save(path, **params):
    job = c.call("disk_save", path="%s/%s" % (os.environ["tmp"], path),
                 **params)["job"]
    check("saved", c.call("job_wait", job=job, seconds=600)["state"], "done")
    manifest = json.load(open(path + "/manifest.json"))
    return [d["name"] for d in manifest["disks"]]
check("in the folder", save("saved"), ["golden", "vm"])
check("by its name", save("by-name", patterns=["look*"]), ["looks"])
check("the template", save("golden", patterns=["golden"]), ["golden"])
looks.pwrite(b"l", 0)
check("written", save("written"), ["golden", "looks", "vm"])
PY
stop_server s

step "load= brings the template"
serve load=saved template=golden auto-destroy=yes
python <<'PY'
exec(open("template.py").read())
check("size", look("probe"), 4 * MiB)
become("nobody has made it", lambda: sorted(names()), ["", "golden", "vm"])
a = connect("a")
check("the template is read-only", connect("golden").is_read_only(), True)
check("a clone is not", a.is_read_only(), False)
check("content", whole(a), image)
a.pwrite(b"a", 0)
a.shutdown()
become("a is gone", lambda: sorted(names()), ["", "golden", "vm"])
vm = connect("vm")
check("the saved one", vm.pread(2, 100), b"vm")
vm.shutdown()
become("its client is gone", lambda: sorted(names()), ["", "golden", "vm"])
PY
stop_server s
serve load=saved auto-create=no default=vm
check "the disk without a name" \
  "$(nbdsh -u "$(uri '')" -c 'print(h.pread(2, 100).decode())')" vm
stop_server s

step "what load= does not bring"
refused_start "template=g: there is no such disk in load=: expected one, a \
disk= of that name, or control=" "$mramdisk" load=saved template=g
refused_start "default=g: there is no such disk in load=: expected one, a \
disk= of that name, or control=" "$mramdisk" load=saved auto-create=no default=g
serve control=control
$ctl save empty --quiet
stop_server s
refused_start "auto-create=no: there is no disk in load=: expected one, disk= \
or control=, or there is nothing to connect to" "$mramdisk" load=empty \
  auto-create=no
serve load=saved template=g control=control
refused nbdinfo "$(uri a)"
$ctl create g 2M --quiet
check "the size of the new template" "$(nbdinfo --size "$(uri a)")" $((2 << 20))
stop_server s
serve load=saved template=g disk=g,size=3M
check "the size of disk=" "$(nbdinfo --size "$(uri a)")" $((3 << 20))
stop_server s
serve load=saved disk=golden,size=1M,readonly=no
for had in "size=1M: the disk in load= has size=4M" \
           "readonly=no: the disk in load= has readonly=yes"; do
  grep -q "disk=golden,$had, and keeps it" s.log || fail "$(cat s.log)"
done
check "its size" "$(nbdinfo --size "$(uri golden)")" $((4 << 20))
stop_server s

# stay NAME: a client of that disk that writes and does not leave.
stay ()
{
  local i
  rm -f ready
  nbdsh -u "$(uri "$1")" -c "h.pwrite(b'$1', 100)
open('ready', 'w').close()
import time
while True:
    time.sleep(1)" 2>err &
  client=$!
  for ((i = 0; i < 1200; i++)); do
    [ ! -e ready ] || return 0
    running "$client" || fail "the client: $(cat err)"
    pause 0.05
  done
  fail "the client did not begin"
}
leave ()
{
  [ -n "$client" ] || return 0
  kill "$client" 2>/dev/null || :
  wait "$client" 2>/dev/null || :
  client=
}
client=
at_exit leave

# The arena has no room for the template twice.
step "load= and arena=: a restart reads nothing that is there"
start ()
{
  serve load=golden arena=arena template=golden auto-destroy=yes \
    template-quota=1M control=control max-memory=6M "$@"
}
start
cp golden/mblock-data-1 data
for end in kill_server stop_server; do
  stay new
  $end s
  leave
  printf x | dd of=golden/mblock-data-1 bs=1 seek=5000 conv=notrunc status=none
  start
  nbdinfo --list "$(uri '')" >list
  check "size of the one that waits" "$(nbdinfo --size "$(uri new)")" \
    $((4 << 20))
  python <<'PY'
exec(open("template.py").read())
check("size", look("new"), 4 * MiB)
check("who only looks destroys nothing", sorted(names()), ["", "golden", "new"])
h = connect("new")
check("what was written", h.pread(3, 100), b"new")
check("its quota", Control().info("new")["quota"], MiB)
refused("over the quota", errno.ENOSPC, h.pwrite, bytes(MiB), MiB)
h.shutdown()
become("whoever uses it is its last client", lambda: sorted(names()),
       ["", "golden"])
check("the template", whole(connect("golden")), image)
PY
done
check "load" "$($ctl load golden --ignore)" "loaded from golden: 0 of data"
check "load" "$($ctl load golden 'g*' --ignore)" "loaded from golden: 0 of data"
refused $ctl load golden nothere --ignore
grep -q 'no disk in the folder matches "nothere"' refused ||
  fail "$(cat refused)"
refused $ctl load golden --replace --force
grep -q 'mblock-data-1: page 1 is damaged' refused ||
  fail "it was not damaged: $(cat refused)"
cp data golden/mblock-data-1

step "what was destroyed is loaded again, and stays then"
$ctl destroy golden --quiet
refused nbdinfo --size "$(uri x)"
stop_server s
start
stay x
stop_server s
leave
start disk=x
for name in golden x; do
  nbdsh -u "$(uri $name)" -c 'h.pread(1, 0)'
  $ctl info $name >/dev/null || fail "$name went with a client"
done
stop_server s

step "the template changes, and is away for a while"
rm arena
start max-memory=64M disk=other,size=2M
python <<'PY'
exec(open("template.py").read())
c = Control()
connect("other").pwrite(b"o", 0)
a = connect("a")
a.pwrite(b"a", 1)
c.call("disk_clone", source="other", name="golden", if_exists="replace")
b = connect("b")
check("a", (a.get_size(), a.pread(2, 0)), (4 * MiB, image[:1] + b"a"))
check("b", (b.get_size(), b.pread(2, 0)), (2 * MiB, b"o\0"))
c.call("disk_resize", name="golden", size=3 * MiB)
check("sizes", [connect(n).get_size() for n in ("b", "c")], [2 * MiB, 3 * MiB])
c.call("disk_destroy", name="golden")
for name in "d", "golden":
    refused("without a template", None, connect, name)
check("a goes on", a.pread(2, 0), image[:1] + b"a")
check("its parent", (c.info("a")["parent"], c.info("a")["parent_exists"]),
      ("golden", False))
c.call("disk_rename", name="other", new_name="golden")
d = connect("d")
check("d", d.pread(2, 0), b"o\0")
c.call("disk_reset", name="d")
d.shutdown()
PY
stop_server s

step "memory is full: one line says so, and the disks can be saved"
rm arena
start max-memory=5M
python <<'PY'
exec(open("template.py").read())
h = connect("full")
try:
    for i in range(1024):
        h.pwrite(bytes([i % 255 + 1]) * PAGE, i * PAGE)
except nbd.Error as e:
    check("the quota or the memory", e.errno, "ENOSPC")
c = Control()
c.call("disk_create", name="plain", size=16 * MiB)
p = connect("plain")
try:
    for i in range(4096):
        p.pwrite(b"p" * PAGE, i * PAGE)
except nbd.Error as e:
    check("the memory", e.errno, "ENOSPC")
clones = []
try:
    while len(clones) < 1000:
        clones.append(connect("c%d" % len(clones)))
except nbd.Error:
    pass
check("some were made, then one was refused", 0 < len(clones) < 1000, True)
check("they can be read", {bytes(clone.pread(1, 5)) for clone in clones},
      {image[5:6]})
refused("but not written", errno.ENOSPC, clones[0].pwrite, b"x", 0)
job = c.call("disk_save", path=os.environ["tmp"] + "/full")["job"]
j = c.call("job_wait", job=job, seconds=600)
check("saved (%s)" % j["error"], j["state"], "done")
h.trim(MiB, 0)
def another():
    try:
        connect("another").pwrite(b"x", 0)
    except nbd.Error:
        return False
    return True
become("there is room again", another, True)
PY
grep -q 'export "c[0-9]*": max-memory=5M is reached' s.log ||
  fail "the log does not say why: $(cat s.log)"
stop_server s
refused_start "load=$tmp/full: no memory is left: max-memory is reached" \
  "$mramdisk" max-memory=2M load=full template=golden

step "an origin that is slow, and away at the second start"
rm arena
start_far ()
{
  start_server far --filter=log --filter=delay file image \
    logfile="$tmp/reads" rdelay=300ms
}
start_far
serve "disk=golden,origin=$(uri '' far),readonly=yes" control=control
$ctl save lazy --quiet
stop_server s
reads () { grep -c ' Read id=' reads || :; }
lazy ()
{
  serve load=lazy arena=arena template=golden auto-destroy=yes control=control \
    parallel=yes
}
lazy
python <<'PY'
exec(open("template.py").read())
clones = [connect("c%d" % i) for i in range(20)]
for i, h in enumerate(clones):
    h.pwrite(bytes([i + 1]) * PAGE, i * PAGE)
    check("own", h.pread(PAGE, i * PAGE), bytes([i + 1]) * PAGE)
    h.trim(PAGE, MiB)
    check("trimmed", h.pread(PAGE, MiB), bytes(PAGE))
PY
check "reads of the origin" "$(reads)" 0
stay a
before=$(reads)
nbdsh -u "$(uri b)" -c 'h.pread(1, 3 << 20)' 2>/dev/null & # it waits
waiting=$!
for ((i = 0; i < 1200; i++)); do
  [ "$(reads)" = "$before" ] || break
  pause 0.05
done
kill_server s
leave
wait "$waiting" || :
kill_server far
lazy
python <<'PY'
exec(open("template.py").read())
b = connect("b")
b.pwrite(b"b" * PAGE, 0)
check("b", b.pread(PAGE, 0), b"b" * PAGE)
check("origin of b", Control().info("b")["origin"]["uri"],
      Control().info("golden")["origin"]["uri"])
PY
start_far
python <<'PY'
exec(open("template.py").read())
a = connect("a")
check("a", a.pread(100, 90), image[90:100] + b"a" + image[101:190])
check("the image", whole(connect("c")), image)
PY
stop_server s
stop_server far
