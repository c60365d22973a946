#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl with the real server: each command once, with data that clients
# wrote over NBD.

. "${srcdir:-.}/tests/mblockctl.sh"
needs_server

nbdkit -f -U "$tmp/nbd" ./mramdisk.so 16M max-memory=256M \
       control="$tmp/s" 2>"$tmp/log" &
pids+=($!)
export MBLOCK_SOCKET=$tmp/s

client () {
  # The server is to refuse what is too large, not libnbd.
  nbdsh -u "nbd+unix:///$1?socket=$tmp/nbd" -c 'h.set_strict_mode(0)' -c "$2" ||
    wrong "nbdsh $*"
}

: > "$tmp/out"
status 0 wait-ready
no_error
status 0 version
out_has 'protocol 1'
status 0 create golden 1G
out_is 'created golden'
client golden 'h.pwrite(b"x" * (4 << 20), 0)
h.zero(1 << 20, 8 << 20, nbd.CMD_FLAG_NO_HOLE)'

# Clones share; what is written to one is its own.
status 0 clone golden vm-1 vm-2 --quota 64M
out_is 'cloned vm-1' 'cloned vm-2'
client vm-1 'h.pwrite(b"y" * (1 << 20), 2 << 20)'
status 0 info vm-1 --json
json 'r[0]["mapped"] == 4 << 20 and r[0]["exclusive"] == 1 << 20 and
      r[0]["shared"] == 3 << 20 and r[0]["quota"] == 64 << 20'
status 0 extents vm-1 --sharing
out_is ' OFFSET      LENGTH   SIZE  TYPE' \
       '      0     2097152     2M  data, shared' \
       '2097152     1048576     1M  data, exclusive' \
       '3145728     1048576     1M  data, shared' \
       '4194304     4194304     4M  hole' \
       '8388608     1048576     1M  zero' \
       '9437184  1064304640  1015M  hole'
status 0 diff golden vm-1
out_has '2097152  1048576    1M'
out_has 'in 1 place.'
status 0 map vm-1 --ascii --rows 1 --width 80
out_has '+ '
status 0 list 'vm-*'
out_is 'NAME  SIZE  MAPPED  OWNED  QUOTA  SECTOR  CLIENTS  MODE  PARENT' \
       'vm-1    1G      4M     1M    64M     any        0  rw    golden' \
       'vm-2    1G      4M      0    64M     any        0  rw    golden'

# Put one back; then nothing differs.  The server may not have seen yet that
# the client has gone.
status 0 clone golden vm-1 --replace --force
out_is 'replaced vm-1'
status 0 diff golden vm-1
out_is 'The disks do not differ.'

# A quota stops a write, and stats and watch know.
"$ctl" watch quota -n 1 > "$tmp/event" &
watcher=$!
pids+=($watcher)
status 0 set vm-2 --quota 1M
out_is 'set vm-2: writable, quota 1M'
for i in {1..100}; do
  client vm-2 'try:
  h.pwrite(b"z" * (8 << 20), 16 << 20)
except nbd.Error as e:
  assert e.errno == "ENOSPC", e
else:
  raise SystemExit("expected ENOSPC")'
  [ -s "$tmp/event" ] && break
  # An event that was sent before watch had subscribed: another quota, another
  # event.
  "$ctl" set vm-2 --quota $((1048576 + i * 4096)) --quiet
done
if [ ! -s "$tmp/event" ]; then
  wrong "no event came of the quota"
  kill $watcher
fi
wait $watcher
shown='watch quota'
cp "$tmp/event" "$tmp/out"
out_has '  quota       vm-2'
status 0 stats vm-2
out_has 'Writes refused: '
status 0 stats --json
json '[d["enospc_quota"] > 0 for d in r["disks"]] == [False, False, True]'

# A quota below what is owned.
client vm-2 'h.pwrite(b"z" * 8192, 16 << 20)'
status 1 set vm-2 --quota 8191
error_has 'set: --quota 8191: the disk "vm-2" owns 8192 bytes already'
status 0 set vm-2 --quota 8191 --force

# Resize, read-only, destroy.
status 0 resize vm-2 -512M --force
out_is 'resized vm-2 from 1G to 512M'
status 0 set golden --readonly
client golden 'assert h.is_read_only()'
status 0 resize vm-2 8191P --quiet
status 0 metrics
out_has 'mblock_disk_size_bytes{disk="golden"} 1073741824'
status 0 top --once -d 0.1
out_has 'golden'
status 0 methods disk_clone
out_has 'if_exists'
status 1 create golden
error_has '(EEXIST)'
status 1 info nope
error_has '(ENOENT)'
status 1 create x 1000 --sector-size 512
error_has '(EINVAL)'
status 0 destroy vm-1 vm-2 golden --force
status 0 list --names
out_empty

# Own means the same everywhere: what was written since the last clone, 1 MiB,
# and not what is exclusive, 3 MiB, now that the clone is gone.
status 0 create a 8M
client a 'h.pwrite(b"x" * (3 << 20), 0); h.flush(); h.flush()'
status 0 clone a b
client a 'h.pwrite(b"y" * (1 << 20), 1 << 20)'
status 0 destroy b --force
status 0 set a --quota 4M
for _ in {1..600}; do           # the clone's pages go in the background
  status 0 info a --json
  grep -q '"exclusive": 3145728' "$tmp/out" && break
  sleep 0.05
done
json 'r[0]["owned"] == 1 << 20 and r[0]["mapped"] == 3 << 20'
status 0 info a
out_has '  exclusive   3145728 bytes (3M)'
out_has 'Owned         1048576 bytes (1M)'
out_has 'Quota         4194304 bytes (4M), 25% used'
status 0 list a
out_has 'a       8M      3M     1M     4M     any        0  rw    -'
status 0 list --json
json '[d["owned"] for d in r["disks"]] == [1 << 20]'
status 0 stats a
out_has 'a: 8M, 3M mapped, 1M own, quota 4M'
grep -q '^flush  *2 ' "$tmp/out" || wrong "expected two flushes"
status 0 stats
grep -q '^a  *8M  *3M  *1M ' "$tmp/out" || wrong "expected 1M of its own"
status 0 top --once -d 0.1
grep -q '^a  *0  *8M  *3M  *1M ' "$tmp/out" || wrong "expected 1M of its own"
status 0 metrics
out_has 'mblock_disk_owned_bytes{disk="a"} 1048576'
out_has 'mblock_disk_requests_total{disk="a",operation="flush"} 2'
status 0 destroy a --force

# More extents than fit in one answer, of a part of a disk.
status 0 create many 96M
client many 'for i in range(12000): h.pwrite(b"x" * 4096, i * 8192)'
status 0 extents many --offset 4k --length 90M --json
json 'sum(e["length"] for e in r["extents"]) == 90 << 20'
json 'len(r["extents"]) > 20000'
status 0 destroy many --force

# Many: pages of the list, and a progress that nobody sees here.
status 0 create golden
status 0 clone golden vm-{1..2500} --quiet
status 0 list 'vm-*' --json
json 'len(r["disks"]) == 2500'
"$ctl" list --null | xargs -0 "$ctl" destroy --quiet -- || rc=1
status 0 list --names
out_empty

[ $rc = 0 ] || cat "$tmp/log"
exit $rc
