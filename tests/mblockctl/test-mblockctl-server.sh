#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl with the real server: each command once, with data that clients
# wrote over NBD.

. "${srcdir:-.}/tests/mblockctl.sh"
for p in nbdkit nbdsh; do
  command -v $p >/dev/null || { echo "SKIP: $p is not there"; exit 77; }
done
if ! nbdkit ./mramdisk.so --help 2>/dev/null | grep -q 'control='; then
  echo "SKIP: this mramdisk.so cannot be loaded, or has no control socket"
  exit 77
fi
# The one that has the module nbd.
export PATH=/usr/bin:$PATH

nbdkit -f -U "$tmp/nbd" ./mramdisk.so 16M max-memory=256M \
       control="$tmp/s" 2>"$tmp/log" &
pids+=($!)
export MBLOCK_SOCKET=$tmp/s

client () {
  nbdsh -u "nbd+unix:///$1?socket=$tmp/nbd" -c "$2" || wrong "nbdsh $*"
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
json 'r["mapped"] == 4 << 20 and r["exclusive"] == 1 << 20 and
      r["shared"] == 3 << 20 and r["quota"] == 64 << 20'
status 0 extents vm-1 --sharing
out_is ' OFFSET      LENGTH   SIZE  TYPE' \
       '      0     2097152     2M  data, shared' \
       '2097152     1048576     1M  data, own' \
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
out_is 'NAME  SIZE  MAPPED  QUOTA  SECTOR  CLIENTS  MODE' \
       'vm-1    1G      4M    64M     any        0  rw' \
       'vm-2    1G      4M    64M     any        0  rw'

# Put one back; then nothing differs.
status 0 clone golden vm-1 --replace
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
wait $watcher
shown='watch quota'
cp "$tmp/event" "$tmp/out"
out_has '  quota       vm-2'
status 0 stats vm-2
out_has 'Writes refused: '
status 0 stats --json
json '[d["enospc_quota"] > 0 for d in r["disks"]] == [False, False, True]'

# Resize, read-only, destroy.
status 0 resize vm-2 -512M
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
status 0 destroy vm-1 vm-2 golden
status 0 list --names
out_empty

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
