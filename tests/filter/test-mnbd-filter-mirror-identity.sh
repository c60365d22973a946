#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A secondary that returns with another UUID gets everything anew, however
# similar it is; one with the same UUID gets what it misses.

. "$(dirname "$0")/../mirror-functions.sh"

ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }

start_server u "$mramdisk" size=64M control="$tmp/c" arena="$tmp/arena"
start_mirror "$mramdisk" size=64M
python <<'END'
h = connect()
for i in range(64):
    h.pwrite(pattern(MiB, i), i * MiB)
END
synchronised_and_same

step "the same disk, after a crash"
kill_server u
python <<'END'
connect().pwrite(b"x" * PAGE, 5 * MiB)
END
wait_mirror degraded
rm -f c u.sock
start_server u "$mramdisk" size=64M control="$tmp/c" arena="$tmp/arena"
synchronised_and_same
check "everything again" "$(grep -c 'copying everything' s.log || :)" 0

step "a clone in its place, which differs in one page"
ctl clone "" similar
python <<'END'
connect("similar", server="u").pwrite(b"wrong" * 100, 7 * MiB + 12345)
END
ctl clone similar "" --replace --force
for id in $(ctl --json clients | python3 -c '
import json, sys
print(*[c["id"] for c in json.load(sys.stdin)["clients"]])'); do
  ctl disconnect --id "$id" || :
done
noticed () { grep -q 'the secondary is another disk, with another UUID: copying everything again' s.log; }
wait_for "the other disk: $(cat s.log)" noticed
synchronised_and_same
