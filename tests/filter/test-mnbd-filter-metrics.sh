#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl metrics at the filter's socket: the statistics of mirrors and
# caches, all that their status has.

. "$(dirname "$0")/../mirror-functions.sh"

export MBLOCK_SOCKET=$tmp/control
ctl=$builddir/mblockctl

# metrics: print them to "out"; each has its HELP and TYPE.
metrics ()
{
  "$ctl" metrics "$@" >out || fail "metrics $*: status $?"
  nbdsh -c '
import re
typed = None
for line in open("out").read().splitlines():
    if line.startswith("# HELP "):
        helped = line.split()[2]
    elif line.startswith("# TYPE "):
        _, _, typed, kind = line.split()
        assert typed == helped, line
        assert (kind == "counter") == typed.endswith("_total"), line
    else:
        label = r"[a-z]+=\"(?:[^\"\\\n]|\\.)*\""
        m = re.fullmatch(r"([a-z_]+)\{%s(?:,%s)*\} [0-9]+" % (label, label),
                         line)
        assert m and m.group(1) == typed, line
' || fail "$(cat out)"
}

has ()
{
  grep -qxF -e "$1" out || fail "expected '$1' in: $(cat out)"
}

has_not ()
{
  ! grep -qF -e "$1" out || fail "expected no '$1' in: $(cat out)"
}

# metrics_as STATUS [NAME]: with --json, metrics prints what that status does.
metrics_as ()
{
  "$ctl" metrics "${@:2}" --json >metrics.json || fail "metrics: status $?"
  "$ctl" "$1" status "${@:2}" --json >status.json || fail "$1: status $?"
  [ -s status.json ] || fail "$1 status prints nothing"
  check "as JSON" "$(cat metrics.json)" "$(cat status.json)"
}

start_server u "$mramdisk" size=16M
step "a mirror"
start_mirror "$mramdisk" size=16M
wait_mirror synchronised
nbdsh -u "$(uri)" -c 'h.pwrite(b"x" * 4096, 0)'
metrics
has 'mblock_mirror_state{export="",state="synchronised"} 1'
has 'mblock_mirror_state{export="",state="degraded"} 0'
has 'mblock_mirror_size_bytes{export=""} 16777216'
has 'mblock_mirror_out_of_sync_bytes{export=""} 0'
has 'mblock_mirror_same_bytes_total{export=""} 0'
has 'mblock_mirror_writes_total{export=""} 1'
has_not 'rate_limit_bytes{'
has_not 'differing_bytes{'
has_not mblock_cache
mirror <<'END'
verify()
END
metrics
has 'mblock_mirror_differing_bytes{export=""} 0'
metrics --total
has_not mblock_mirror
grep -q '^mblock_info{name="mnbd",' out || fail "$(cat out)"
metrics_as mirror
stop_server s

step "a cache"
start_server s --filter="$filter" "$mramdisk" size=16M mnbd-mode=cache \
  mnbd-socket="$tmp/u.sock" mnbd-control=control
nbdsh -u "$(uri)" -c 'h.pread(4096, 0); h.pread(4096, 0); h.pwrite(b"y", 9)'
metrics
has 'mblock_cache_size_bytes{export=""} 16777216'
has 'mblock_cache_hits_total{export=""} 1'
has 'mblock_cache_misses_total{export=""} 1'
has 'mblock_cache_writes_total{export=""} 1'
has_not 'cache_limit_bytes{'
has_not mblock_mirror
has 'mblock_cache_outages_total{export=""} 0'
has 'mblock_cache_upstream_away{export=""} 0'
# Whatever the status has more of, has a metric; away is no number there.
nbdsh -c '
import json, subprocess
status = json.loads(subprocess.check_output(["'"$ctl"'", "cache", "status",
                                             "--json"]))
numbers = [k for k, v in status["caches"][0].items() if type(v) is int]
samples = [x for x in open("out") if x.startswith("mblock_cache_")]
assert len(samples) == len(numbers) + 1, (samples, numbers)
' || fail "a value has no metric"
stop_server s

step "names and patterns of exports"
start_server s --filter="$filter" "$mramdisk" disk=a,size=16M disk=b,size=16M \
  mnbd-mode=cache mnbd-socket="$tmp/u.sock" mnbd-control=control \
  mnbd-dynamic-export=true mnbd-exports='[ab]'
nbdsh -u "$(uri a)" -c 'h.pread(1, 0)'
nbdsh -u "$(uri b)" -c 'h.pread(1, 0)'
metrics
has 'mblock_cache_misses_total{export="a"} 1'
has 'mblock_cache_misses_total{export="b"} 1'
metrics '[b-c]'
has_not 'export="a"'
has 'mblock_cache_misses_total{export="b"} 1'
refused "$ctl" metrics b d
grep -q 'mblockctl: metrics: no export matches d' refused
grep -q 'mblock_cache_misses_total{export="b"} 1' refused
metrics --ignore-missing d
metrics_as cache a
stop_server s

step "forwarding has no more than its name"
start_server s --filter="$filter" "$mramdisk" size=16M mnbd-mode=forward \
  mnbd-socket="$tmp/u.sock" mnbd-control=control
metrics
check "lines" "$(grep -vc '^#' out)" 1
