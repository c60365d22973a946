#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A cache reports whether its upstream is away, since when and why, on the
# control socket and in mblockctl cache status.

. "$(dirname "$0")/../cache-functions.sh"

ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control

# has LINE: mblockctl cache status has this line, as an extended expression.
has ()
{
  "$ctl" cache status "${@:2}" >out || fail "status $?"
  grep -qxE -e "$1" out || fail "expected '$1' in: $(cat out)"
}

fault_server u
start_cache mnbd-reconnect=2

step "nothing yet"
has 'Upstream +connected'
has 'Reads +none yet'
has 'Writes +none yet'
check away_since "$(cache_stat away_since)" None
check last_error "$(cache_stat last_error)" None
check outages "$(cache_stat outages)" 0

step "requests"
python <<'END'
h = connect()
for i in range(1100):
    h.pread(4096, 0)
h.pwrite(b"w" * 5000, 8192)
END
has 'Reads +1\.1k requests, ~4\.3M; the cache had >?[0-9]+% of them, .*'
has 'Reads +1100 requests, 4505600; .*' -b
has 'Writes +1 request, 5000' -b

step "away"
tell u down
before=$(date -u +%Y-%m-%dT%H:%M:%S)
python <<'END'
h = connect()
refused("a read of what is not there", None, h.pread, 4096, 1 << 20)
END
after=$(date -u +%Y-%m-%dT%H:%M:%SZ)
since=$(cache_stat away_since)
[[ ! $since < $before && ! $since > $after ]] ||
  fail "away since $since, not between $before and $after"
[[ $(cache_stat last_error) = "upstream "*"$tmp/u.sock"* ]] ||
  fail "last error: $(cache_stat last_error)"
check outages "$(cache_stat outages)" 1
has "Upstream +away since ${since//./\\.}: upstream .*u\.sock.*"
"$ctl" metrics >out
grep -qxF 'mblock_cache_upstream_away{export=""} 1' out || fail "$(cat out)"
check "away since, later" "$(cache_stat away_since)" "$since"

step "back again"
tell u up
python <<'END'
check("a read", len(connect().pread(4096, 1 << 20)), 4096)
END
has 'Upstream +connected'
check away_since "$(cache_stat away_since)" None
[[ $(cache_stat last_error) != None ]] || fail "the last error is forgotten"
stop_server s

step "its path is no UTF-8"
path=$tmp/w$'\xff'.sock
ln -s u.sock "$path"
start_server s --filter="$filter" "${beneath[@]}" mnbd-mode=cache \
  mnbd-socket="$path" mnbd-control="$tmp/control" mnbd-reconnect=0.1
python <<'END'
h = connect()
END
tell u down
python <<'END'
refused("a read of what is not there", None, connect().pread, 4096, 1 << 20)
END
# The first error may be that the connection was lost, which names no path.
names_path ()
{
  [[ $(cache_stat last_error) = "upstream $tmp/w\xff.sock: "* ]]
}
wait_for "the path in the last error: $(cache_stat last_error)" names_path
stop_server s
tell u up

step "there is none of that name"
start_cache
rc=0
"$ctl" cache status nosuch >out 2>&1 || rc=$?
check "status" $rc 1
grep -qF 'there is no cache of export "nosuch" (ENOENT)' out ||
  fail "$(cat out)"
stop_server s
