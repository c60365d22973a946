#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The mirror's methods: stop, start, verify, and what is refused when.

. "$(dirname "$0")/../mirror-functions.sh"

start_server u "$mramdisk" size=16M
start_mirror "$mramdisk" size=16M
mirror <<'END'
s = synchronised()
check("nothing yet", (s["stopped"], s["verify"], s["last_error"]),
      (None, None, None))
h = connect()
h.pwrite(b"a" * (4 * MiB), 3 * MiB)
check("it runs", control.call("mirror_start")["started"], False)

v = verify()
check("verify", (v["bytes_differing"], v["extents"], v["error"]),
      (0, [], None))
check("all of it", (v["bytes_done"], v["bytes_total"], v["bytes_skipped"]),
      (16 * MiB, 16 * MiB, 0))

# Somebody writes to the secondary behind our back.
u = connect(server="u")
u.pwrite(b"b" * 1000, 4 * MiB)
u.pwrite(b"c", 10 * MiB)
v = verify()
check("extents", v["extents"], [{"offset": 4 * MiB, "length": 1024},
                                {"offset": 10 * MiB, "length": 512}])
check("differing", v["bytes_differing"], 1536)
s = status()
check("state", (s["state"], s["bytes_out_of_sync"], s["last_error"]),
      ("failed", 2 * 65536, "1536 bytes differ, the first at 4194304"))
control.refused("EBUSY", "the mirror is failed", "mirror_stop")
control.call("mirror_start", resume=True)
synchronised()
same()

u.pwrite(b"b" * 1000, 4 * MiB)
v = verify(repair=True)
check("differing", v["bytes_differing"], 1024)
synchronised()
same()

r = control.call("mirror_stop")
check("stop", (r["consistent"], r["writes"]), (True, 1))
check("time", len(r["time"]), len("2026-01-01T00:00:00.000000Z"))
s = status()
check("state", s["state"], "stopped")
check("as answered", s["stopped"], {k: v for k, v in r.items()
                                    if k != "export"})
control.refused("EBUSY", "already stopped", "mirror_stop")
control.refused("EBUSY", "the mirror is stopped", "mirror_verify")
h.pwrite(b"d" * 10, 0)
check("alone", bytes(u.pread(1, 0)), b"\0")
check("out of sync", status()["bytes_out_of_sync"], 65536)
h.flush()

check("start", control.call("mirror_start", resume=True)["started"], True)
s = synchronised()
check("sent", s["bytes_sent"] <= 65536, True)
same()

control.call("mirror_stop")
u.pwrite(b"e" * 10, 15 * MiB)
control.call("mirror_start")
synchronised()
same()
control.refused(-32602, "", "mirror_stop", force=1)
control.refused("ENOENT", 'no mirror of export "x"', "mirror_stop",
                export="x")
END

step "while a stop waits for the secondary, others are answered"
stop_server s
stop_server u
fault_server u --set size=16M
start_mirror "$mramdisk" size=16M
wait_mirror synchronised
tell u fault on=flush,do=never
mirror <<'END'
import threading
from mnbdtest import tell

connect().pwrite(b"f", 0)
result = []
stop = threading.Thread(target=lambda: result.append(
    Control().answer("mirror_stop", force=True)))
stop.start()
log = os.environ["tmp"] + "/u.jsonl"
while '"fault"' not in open(log).read():
    time.sleep(0.02)
for i in range(3):
    status()
check("it waits", result, [])
tell("drop")
stop.join()
check("stopped", result[0]["result"]["consistent"], False)
check("state", status()["state"], "stopped")
END
stop_server s
end_fault_server u
start_server u "$mramdisk" size=16M
start_mirror "$mramdisk" size=16M
wait_mirror synchronised

step "stop while it is not synchronised"
crash_server u
wait_mirror degraded
mirror <<'END'
connect().pwrite(b"f", 0)
control.refused("EBUSY", "the mirror is degraded, and 65536 bytes are out of "
                "sync; expected synchronised, or force", "mirror_stop")
check("force", control.call("mirror_stop", force=True)["consistent"], False)
END
stop_server s

step "one that begins later"
start_mirror "$mramdisk" size=16M mnbd-start=false
mirror <<'END'
check("state", status()["state"], "stopped")
connect().pwrite(b"g" * MiB, MiB)
control.call("mirror_start")
wait_state("degraded")
while status()["last_error"] is None:
    time.sleep(0.02)
check("error", status()["last_error"].startswith(
    "cannot connect to the secondary: "), True)
END
start_server u "$mramdisk" size=16M
synchronised_and_same
stop_server s
stop_server u

step "change the rate of a copy that would take days"
start_server u "$mramdisk" size=16M
start_mirror "$mramdisk" size=16M mnbd-start=false mnbd-rate=1
mirror <<'END'
connect().pwrite(b"h" * (8 * MiB), 0)
check("rate", status()["rate_limit"], 1)
control.call("mirror_start")
while status()["bytes_sent"] == 0:
    time.sleep(0.02)
check("state", status()["state"], "copying")
check("answer", control.call("mirror_rate", rate=None),
      {"export": "", "rate_limit": None})
synchronised()
check("no limit", status()["rate_limit"], None)
check("answer", control.call("mirror_rate", export="", rate=2 * MiB),
      {"export": "", "rate_limit": 2 * MiB})
check("limit", status()["rate_limit"], 2 * MiB)
for bad in {}, {"rate": 0}, {"rate": "1M"}:
    control.refused(-32602, "rate", "mirror_rate", **bad)
control.refused("ENOENT", 'no mirror of export "x"', "mirror_rate",
                export="x", rate=1)
END
stop_server s
stop_server u

step "a limit of the rate"
start_server u "$mramdisk" size=16M
start_mirror "$mramdisk" size=16M mnbd-start=false mnbd-rate=1M
mirror <<'END'
connect().pwrite(pattern(4 * MiB), 8 * MiB)
began = time.monotonic()
control.call("mirror_start")
check("sent", synchronised()["bytes_sent"], 4 * MiB)
not_before("the copy", began, 2.5)
began = time.monotonic()
check("verify", verify()["bytes_differing"], 0)
not_before("the comparison", began, 2.5)
END
stop_server s
stop_server u

step "zeros that are sent or read as data count for the rate"
start_server u --filter=nozero --filter=noextents null size=1G
start_mirror "$mramdisk" size=1G mnbd-start=false mnbd-rate=1
mirror <<'END'
control.call("mirror_start")
while status()["bytes_zeroed"] == 0:
    time.sleep(0.02)
time.sleep(1)
check("not more", status()["bytes_zeroed"] <= 4 * MiB, True)
control.call("mirror_rate", rate=None)
synchronised()
control.call("mirror_rate", rate=1)
control.call("mirror_verify")
while status()["verify"]["bytes_done"] == 0:
    time.sleep(0.02)
time.sleep(1)
check("not more", status()["verify"]["bytes_done"] <= 64 * MiB, True)
control.call("mirror_rate", rate=None)
while status()["verify"]["running"]:
    time.sleep(0.02)
check("all", status()["verify"]["bytes_done"], 1024 * MiB)
END
stop_server s
stop_server u

step "while a comparison waits for the plugin's disk, others are answered"
if nbdkit eval --dump-plugin >/dev/null 2>&1; then
  # With the file "hold", it opens no export.
  truncate -s 1M disk
  start_server u "$mramdisk" size=1M
  start_mirror eval get_size='echo 1M' can_write='exit 0' \
    open='while [ -e "$tmp/hold" ]; do : >"$tmp/held"; sleep 0.05; done' \
    pread='dd if="$tmp/disk" iflag=skip_bytes,count_bytes skip=$4 count=$3' \
    pwrite='dd of="$tmp/disk" oflag=seek_bytes seek=$4 conv=notrunc'
  wait_mirror synchronised
  : >hold
  "$builddir/mblockctl" -s "$tmp/control" mirror verify >answer 2>&1 &
  child verify $!
  wait_for "the comparison opens the export: $(cat answer)" [ -e held ]
  check "state" "$(mirror_state)" synchronised
  running "${children[verify]}" || fail "it did not wait: $(cat answer)"
  rm hold
  wait "${children[verify]}" || fail "verify: $(cat answer)"
  unset "children[verify]"
  wait_for "the result" \
    sh -c '"$0" -s "$1" mirror status | grep -q "compared  *1M of 1M$"' \
    "$builddir/mblockctl" "$tmp/control"
  stop_server s
  stop_server u
else
  echo "left out: nbdkit has no eval plugin"
fi

step "another mode has no mirror"
start_server u "$mramdisk" size=16M
start_server s --filter="$filter" "$mramdisk" size=16M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control=control
nbdsh -c 'from controltest import *' -c '
for method, more in (("status", {}), ("start", {}), ("stop", {}),
                     ("verify", {}), ("rate", {"rate": 1})):
    Control().refused("ENOENT", "there is no mirror: mnbd-mode is forward",
                      "mirror_" + method, **more)'
