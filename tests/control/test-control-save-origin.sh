#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks over an origin are saved as what differs from it, also while it is away,
# and loaded over the same origin, of which nothing is fetched for that; a
# complete origin is saved whole.

. "$(dirname "$0")/../functions.sh"

requires cmp
/usr/bin/python3 -c '
import random
r = random.Random(1)
with open("image", "wb") as f:
    f.truncate((8 << 20) + 1000)
    for at in range(0, 8, 2):
        f.seek(at << 20)
        f.write(r.randbytes(1 << 20))
    f.seek((8 << 20) - 50)
    f.write(b"seam" * 200)'
truncate -s 3M other
start_up () { start_server up file image; }
start_up
origin=$(uri '' up)
serve "disk=golden,origin=$origin,readonly=yes" \
  "disk=large,origin=$origin,size=12M" control=control
export origin dir=$tmp/saved
cat >save-origin.py <<'END'
from controltest import *
c = Control()
DIR = os.environ["dir"]
image = open("image", "rb").read()

def job(method, expected="done", error=None, **params):
    j = c.call("job_wait", job=c.call(method, **params)["job"], seconds=600)
    check("state of %s (%s)" % (method, j["error"]), j["state"], expected)
    if error is not None and (error not in j["error"] or "\n" in j["error"]):
        raise SystemExit("FAIL: error %r, expected %r" % (j["error"], error))
    return j

def content(name):
    h = connect(name)
    size = h.get_size()
    r = b"".join(bytes(h.pread(min(MiB, size - i), i))
                 for i in range(0, size, MiB))
    h.shutdown()
    return r

def check_all():
    for name in sorted(wanted):
        check("content of " + name, content(name) == wanted[name], True)

def clone_golden():
    c.call("disk_clone", source="golden", name="a")
    h = connect("a")
    h.pwrite(b"write", 100)
    h.trim(65536, MiB // 2)
    h.shutdown()

def clone_when_complete():
    c.wait("it is complete",
           lambda: c.info("golden")["origin"]["state"] == "complete")
    clone_golden()

def wanted_now():
    """What the disks are to have."""
    golden = bytearray(image)
    a = bytearray(golden)
    a[100:105] = b"write"
    a[MiB // 2:MiB // 2 + 65536] = bytes(65536)
    b = bytearray(a)
    b[3 * MiB:3 * MiB + 4] = b"over"
    large = bytearray(image + bytes(12 * MiB - len(image)))
    large[10 * MiB:10 * MiB + 3] = b"end"
    cut = bytearray(image[:MiB + 100] + bytes(3 * MiB - 100))
    return {"golden": bytes(golden), "a": bytes(a), "b": bytes(b),
            "large": bytes(large), "cut": bytes(cut),
            "plain": b"p" * 4096 + bytes(MiB - 4096)}

wanted = wanted_now()
END
python <<'END'
exec(open("save-origin.py").read())
clone_golden()
c.call("disk_clone", source="a", name="b", quota=MiB)
connect("b").pwrite(b"over", 3 * MiB)
connect("large").pwrite(b"end", 10 * MiB)
# Shrunk and grown again: zeros there, not the origin.
c.call("disk_clone", source="golden", name="cut")
c.call("disk_resize", name="cut", size=MiB + 100)
c.call("disk_resize", name="cut", size=4 * MiB)
c.call("disk_create", name="plain", size=MiB)
connect("plain").pwrite(b"p" * 4096, 0)
check_all()
END

step "Saved while the origin is away"
kill_server up
python <<'END'
exec(open("save-origin.py").read())
sent = job("disk_save", path=DIR)["bytes_sent"]
check("only what differs (%d)" % sent, sent <= 6 * 4096, True)
m = json.load(open(DIR + "/manifest.json"))
# That of golden and its clones, and that of large.
check("origins (%r)" % m["origins"], len(m["origins"]), 2)
check("uris", {o["uri"] for o in m["origins"]}, {os.environ["origin"]})
check("again", job("disk_save", path=DIR)["bytes_sent"], 0)
check("without memory", job("disk_save", path=DIR, forget=True)["bytes_sent"],
      0)
END
stop_server s

step "Loaded while it is away, or another one: one line, and nothing changed"
serve size=1M control=control
python <<'END'
exec(open("save-origin.py").read())
job("disk_load", "failed", 'origin of disk "a": ', path=DIR)
check("no disk", c.names(), [])
END
stop_server s
timeout 60 nbdkit -f -U refused.sock "$mramdisk" 1M load=saved 2>err && \
  fail "it starts" || :
grep -q 'origin of disk \\*"a\\*": ' err || { cat err; fail "no such line"; }
start_server up file other
serve size=1M control=control
python <<'END'
exec(open("save-origin.py").read())
job("disk_load", "failed", 'it has 3145728 bytes: expected 8389608, as when it '
    'was saved', path=DIR)
check("no disk", c.names(), [])
END
stop_server s
stop_server up

step "Loaded when it is there"
start_up
for how in control load arena; do
  if [ $how = load ]; then
    serve size=1M control=control load=saved
  elif [ $how = arena ]; then
    serve size=1M control=control arena="$tmp/arena"
  else
    serve size=1M control=control
  fi
  export how
  python <<'END'
exec(open("save-origin.py").read())
if os.environ["how"] != "load":
    job("disk_load", path=DIR)
check("names", c.names(), sorted(wanted))
i = {name: c.info(name) for name in wanted}
check("origins", {n: i[n]["origin"] and i[n]["origin"]["uri"] for n in wanted},
      {n: None if n == "plain" else os.environ["origin"] for n in wanted})
check("hardly anything was fetched",
      i["golden"]["origin"]["fetched"] <= 65536, True)
check("parents", {n: (i[n]["parent"], i[n]["parent_exists"]) for n in wanted},
      {"golden": (None, False), "a": ("golden", True), "b": ("a", True),
       "cut": ("golden", True), "large": (None, False),
       "plain": (None, False)})
check("quota", (i["b"]["quota"], i["golden"]["readonly"]), (MiB, True))
check_all()
# It is one origin for all that had it in common.
fetched = c.info("b")["origin"]["fetched"]
check("the same figures", c.info("golden")["origin"]["fetched"], fetched)
# A trim reads as zeros, and a reset works.
h = connect("b")
h.trim(4096, 2 * MiB)
check("trimmed", h.pread(4096, 2 * MiB), bytes(4096))
h.shutdown()
c.call("disk_reset", name="b")
check("reset", content("b") == wanted["a"], True)
check("nothing has changed but that", job("disk_save", path=DIR + "2")
      ["bytes_sent"] <= 6 * 4096, True)
END
  stop_server s
done

step "A complete origin is saved whole"
serve "disk=golden,origin=$origin,readonly=yes,prefetch=yes" control=control
dir=$tmp/whole
python <<'END'
exec(open("save-origin.py").read())
clone_when_complete()
c.call("disk_clone", source="golden", name="cut")
c.call("disk_resize", name="cut", size=MiB + 100)
c.call("disk_resize", name="cut", size=4 * MiB)
sent = job("disk_save", path=DIR)["bytes_sent"]
check("each page once (%d)" % sent, 4 * MiB < sent < 4 * MiB + 65536, True)
check("again", job("disk_save", path=DIR)["bytes_sent"], 0)
check("without memory", job("disk_save", path=DIR, forget=True)["bytes_sent"],
      0)
END
stop_server s
stop_server up
serve size=1M control=control load=whole
python <<'END'
exec(open("save-origin.py").read())
wanted = {n: wanted[n] for n in ("golden", "a", "cut")}
check("names", c.names(), sorted(wanted))
check("no origin", c.info("a")["origin"], None)
check_all()
END
stop_server s

step "… also if the file that has it is given up later"
start_up
serve "disk=golden,origin=$origin,readonly=yes,prefetch=yes" \
  disk=other,size=16M control=control
dir=$tmp/given-up
python <<'END'
exec(open("save-origin.py").read())
clone_when_complete()
other = connect("other")
for n in range(3):
    for i in range(12):
        other.pwrite(pattern(MiB, 100 * min(n, 1) + i), i * MiB)
    sent = job("disk_save", path=DIR)["bytes_sent"]
    check("bytes of save %d" % n, sent > 4 * MiB, True)
check("it is given up", os.path.exists(DIR + "/mblock-data-1"), False)
END
stop_server s
stop_server up
serve size=1M control=control load=given-up
python <<'END'
exec(open("save-origin.py").read())
wanted = {n: wanted[n] for n in ("golden", "a")}
check_all()
other = connect("other")
for i in range(12):
    check("other", other.pread(MiB, i * MiB) == pattern(MiB, 100 + i), True)
END
stop_server s

step "The last page is no whole one, and follows what was trimmed"
head -c 10000 /dev/urandom >odd
start_server odd file odd
serve "disk=odd,origin=$(uri '' odd)" control=control
dir=$tmp/odd-saved
export odd=$(uri '' odd)
python <<'END'
exec(open("save-origin.py").read())
connect("odd").trim(8192, 0)
job("disk_save", path=DIR)
END
stop_server s
serve size=1M control=control load=odd-saved
python <<'END'
exec(open("save-origin.py").read())
check("content", bytes(connect("odd").pread(10000, 0)),
      bytes(8192) + open("odd", "rb").read()[8192:])
# What a clone that was shrunk still shows of the origin differs from zeros.
c.call("disk_create", name="odd", origin=os.environ["odd"], if_exists="replace")
c.call("disk_clone", source="odd", name="trimmed")
c.call("disk_clone", source="odd", name="shrunk")
connect("trimmed").trim(4096, 4096)
c.call("disk_resize", name="shrunk", size=6000)
found = c.call("disk_diff", a="trimmed", b="shrunk")["extents"]
check("diff", any(e["offset"] <= 4096 < e["offset"] + e["length"]
                  for e in found), True)
END
stop_server s
stop_server odd

step "The limit of prefetch is saved as well"
start_up
serve "disk=golden,origin=$origin,prefetch=yes,prefetch-rate=64k" \
  control=control
dir=$tmp/limited
for round in 1 2; do
  python <<'END'
exec(open("save-origin.py").read())
job("disk_save", path=DIR)
m = json.load(open(DIR + "/manifest.json"))
check("the limit", [(o["prefetch"], o["prefetch_rate"]) for o in m["origins"]],
      [(True, 65536)])
check("it is not there yet", c.info("golden")["origin"]["state"],
      "prefetching")
END
  stop_server s
  [ $round = 2 ] || serve size=1M control=control load=limited
done

step "What was fetched goes with the last disk, though it was saved"
serve "disk=golden,origin=$origin,prefetch=yes" control=control
start_server small file other
small=$(uri '' small) dir=$tmp/gone python <<'END'
exec(open("save-origin.py").read())
def complete():
    c.wait("it is complete",
           lambda: c.info("golden")["origin"]["state"] == "complete")
    check("used", c.call("stats")["arena"]["used"] > 4 * MiB, True)
    job("disk_save", path=DIR)

def freed():
    c.wait("it is freed", lambda: c.call("stats")["arena"]["used"] < MiB)

complete()
c.call("disk_destroy", name="golden")
freed()
# So it does if a job destroys it.
c.call("disk_create", name="golden", origin=os.environ["origin"],
       prefetch=True)
complete()
job("disk_pull", name="golden", uri=os.environ["small"], if_exists="replace")
freed()
END
