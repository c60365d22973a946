#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Each command of mblockctl says what it did, and with --json gives the
# server's result.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
export MBLOCK_SOCKET=$tmp/s

# ok LINE ARGUMENT...: succeeds and prints that.
ok () {
  local line=$1
  shift
  status 0 "$@"
  no_error
  out_is "$line"
}

# Make, change, remove.
ok 'created a' create a
ok 'created b' create b 1G --readonly --quota=512k --sector-size 4k
status 0 info b --json
json 'r[0]["size"] == 1 << 30 and r[0]["readonly"] and
      r[0]["quota"] == 512 << 10 and r[0]["sector_size"] == 4096'
ok 'left a as it is: it exists already' create a --ignore
ok 'replaced a' create a 1M --replace
ok 'replaced a' create a 1M --if-exists=replace
status 0 create a 1M --replace --quiet
out_empty
ok 'resized a from 1M to 3M' resize a 3M
ok 'resized a from 3M to 4M' resize a +1M
ok 'resized a from 4M to 2M' resize a -2M
ok 'resized a from 2M to 0' resize -- a -2M
ok 'resized a from 0 to 12345' resize a 12345
ok 'set a: read-only, quota 1M' set a -r --quota 1M
ok 'set a: writable, quota none' set a --writable --quota none
ok 'cloned c' clone golden c
ok 'replaced c' clone golden c --replace --readonly --quota 1G
ok $'cloned d\ncloned e' clone golden d e
status 0 list --json
json '[d["name"] for d in r["disks"]] ==
      ["a", "b", "busy", "c", "d", "e", "golden", "idle"]'
json '[d["readonly"] for d in r["disks"] if d["name"] in "cd"] ==
      [True, False]'
ok $'destroyed d\ndestroyed e' destroy d e
status 0 destroy --ignore-missing d
out_empty
no_error

# The JSON of changes: an array for the commands that take several disks, even
# for one disk; else an object.
status 0 clone golden x --json
json 'r == [{"name": "x", "created": True, "replaced": False}]'
status 0 clone golden y z --json
json '[d["name"] for d in r] == ["y", "z"]'
status 0 resize x 1M --json
json 'r == {"name": "x", "size": 1 << 20, "old_size": 10 << 30}'
status 0 set x --readonly --json
json 'r == [{"name": "x", "readonly": True, "quota": None}]'
status 0 create w 0 --json
json 'r["created"]'
status 0 destroy w --json
json 'r == [{"name": "w"}]'
status 0 destroy x y z --json
json 'len(r) == 3'

# Look.
ok $'a\nb\nbusy\nc\ngolden\nidle' list --names
ok $'b\nbusy\ngolden' list -n 'b*' '*old*'
status 0 list -0 idle
[ "$(od -An -c "$tmp/out" | tr -d ' \n')" = 'idle\0' ] || wrong "expected NUL"
status 0 list 'b*'
out_is 'NAME  SIZE  MAPPED  OWNED  QUOTA  SECTOR  CLIENTS  MODE  PARENT' \
       'b       1G       0      0   512K      4K        0  ro    -' \
       'busy    1G    101M     5M     1G     any        2  rw    -'
status 0 list busy --bytes
out_has '1073741824  105906176'
status 0 info busy
out_has 'Quota         1073741824 bytes (1G), <1% used'
status 0 info busy golden
out_has 'Mode          read-only'
status 0 info busy golden --json
json 'len(r) == 2 and r[1]["exclusive"] == 3 << 30'
status 0 info 'bus?'
out_has 'Owned         5242880 bytes (5M)'
status 0 extents idle --offset 8M --length 5M --sharing
out_is '  OFFSET   LENGTH  SIZE  TYPE' ' 8388608  4194304    4M  zero' \
       '12582912  1048576    1M  hole'
status 0 extents idle --offset=3M --sharing
out_has ', exclusive'
out_has ', shared'
status 0 extents idle --json
json 'r["next"] is None and sum(e["length"] for e in r["extents"]) == 16 << 20'
status 0 diff golden busy --summary
out_is 'The disks differ in 102400 bytes (100K), in 25 places.'
status 0 diff golden golden
out_is 'The disks do not differ.'
status 0 diff golden busy --json
json 'len(r["extents"]) == 25 and r["extents"][0]["type"] == "data"'
status 0 stats
out_has 'Memory: ~3.0G of 8G (38%)'
out_has 'Times are taken of one request in 16.'
grep -q '^read  *[1-9]' "$tmp/out" || wrong "expected totals"
status 0 stats busy
out_has 'Writes refused: 3 by the quota, 0 by max-memory'
out_has '16.4us'
status 0 stats --json
json 'len(r["disks"]) == 6 and r["arena"]["limit"] == 8 << 30'

# A map that is no picture: the same part of each kind, in ASCII and UTF-8.
status 0 map idle --ascii --rows 1 --width 109
out_has '         = -  shared'
grep -q '^ *0 [#+.]\{25\}=\{25\}0\{25\}\.\{25\}$' "$tmp/out" ||
  wrong "expected four equal parts"
status 0 map idle --rows 1 --width 109
grep -q '▓\{25\}0\{25\}·\{25\}$' "$tmp/out" || wrong "expected UTF-8"
grep -q $'\033' "$tmp/out" && wrong "expected no colours in a pipe"
status 0 map idle --color=always
grep -q $'\033\[1;32m' "$tmp/out" || wrong "expected colours"
LC_ALL=C status 0 map idle
LC_ALL=C grep -q '[^ -~]' "$tmp/out" && wrong "expected ASCII"
status 0 map busy --json
json 'any(e.get("shared") for e in r["extents"])'
status 0 create empty 0
status 0 map empty
out_has 'size of 0'
status 0 create tiny 5000
status 0 map tiny
out_has 'each cell is 4K'

# Pages: more disks than a page has.
status 0 clone idle page-{1..2500} --quiet
status 0 list 'page-*' --json
json 'len(r["disks"]) == 2500 and r["next"] is None'
status 0 stats --json
json 'len(r["disks"]) == 2508'
status 0 destroy page-{1..2500} --quiet

# Names, parents, order, patterns.
ok 'renamed c to c2' rename c c2
status 0 create ten-10 1M
status 0 create ten-9 1M
ok $'ten-9\nten-10' list --names 'ten-*'
ok $'ten-10\nten-9' ls -n -r 'ten-*'
ok $'ten-9\t1048576\nten-10\t1048576' list 'ten-*' -H --columns name,size
status 0 list --sort mapped --columns=name,mapped golden busy idle
out_is 'NAME    MAPPED' 'golden      3G' 'busy      101M' 'idle         0'
status 0 clone golden t-1
status 0 clone t-1 t-2
status 0 list golden t-1 t-2 --tree --columns name
out_is NAME golden '  t-1' '    t-2'
status 0 list t-2 --tree --columns name
out_is NAME t-2
for options in -H --no-header -n --names -0 --null '--deleted -H'; do
  status 2 list --tree $options
  error_has 'list: --tree: expected no --no-header, --names or --null with it'
  out_empty
done
# A circle of parents: each disk is there, once.
status 0 clone t-2 r-1
status 0 clone r-1 r-2
status 0 clone r-2 r-3
status 0 clone r-2 r-1 --replace
status 0 create self 1M
status 0 call disk_clone \
  '{"source": "self", "name": "self", "if_exists": "replace"}'
status 0 list idle 'r-*' self --tree --columns name,parent
out_is 'NAME     PARENT' 'idle     -' 'r-1      r-2' '  r-2    r-1' \
       '    r-3  r-2' 'self     self'
status 0 destroy 'r-*' self -q
ok $'would destroy t-1\nwould destroy t-2' rm 't-*' --dry-run
# --dry-run says of each disk whether it would be refused, and why.
status 1 destroy t-1 busy --dry-run
out_is 'would destroy t-1'
error_has 'destroy: the disk "busy" is in use by 2 clients'
status 1 destroy nope t-1 --dry-run --json
json '[d["name"] for d in r] == ["nope", "t-1"] and
      r[0]["error"]["data"]["errno"] == "ENOENT" and r[1]["dry_run"]'
ok 'would destroy busy' destroy busy --dry-run --force
status 1 set busy b --quota 4M --dry-run
error_has 'set: --quota 4M: the disk "busy" owns 5242880 bytes already'
out_is 'would set b'
status 0 info b --json
json 'r[0]["quota"] == 512 << 10'
status 1 reset t-1 golden --dry-run
error_has 'the disk "golden" has no parent'
out_is 'would reset t-1'
ok $'busy\nt-1' list -n t-1 busy
ok '-' list golden -H --columns quota
ok $'reset t-1 to golden\nreset t-2 to t-1' reset 't-*'
ok $'set t-1: read-only, quota none\nset t-2: read-only, quota none' \
  set 't-*' --readonly
status 0 snapshot t-1 t-1@now
out_is 'made the snapshot t-1@now of t-1'
status 0 snapshot t-1
grep -qE '^made the snapshot t-1@20[0-9-]*T[0-9:]* of t-1$' "$tmp/out" ||
  wrong "no dated name"
status 0 delete 't-*' 'ten-*' --quiet
out_empty
# Of many disks their number is said; of none of a pattern, that.
ok 'cloned 30 of 30 disks' clone golden m-{1..30}
status 0 destroy 'm-*' --dry-run
[ "$(grep -c '^would destroy m-' "$tmp/out")" = 30 ] || wrong 'expected 30 names'
[ "$(tail -n 1 "$tmp/out")" = 'would destroy 30 of 30 disks' ] ||
  wrong 'expected what would be done, not what was done'
status 0 set 'm-*' -r --dry-run
out_has 'would set 30 of 30 disks'
ok 'destroyed 30 of 30 disks' destroy 'm-*'
status 0 clone golden m-{1..30} --verbose
[ "$(grep -c '^cloned m-' "$tmp/out")" = 30 ] || wrong "expected 30 lines"
status 0 destroy 'm-*' -q
status 0 create 'star*' 1M
status 0 create 'starling' 1M
ok 'star*' list -n 'star*'              # a name goes before a pattern
ok 'destroyed star*' destroy 'star*'
ok 'starling' list -n 'star*'
status 1 list --literal 'star*'
error_has 'list: no disk matches star*'
ok 'destroyed starling' destroy 'star*'

# The others are shown if an argument means no disk.
status 1 list idle nope busy -n
error_has 'list: no disk matches nope'
out_is busy idle
status 1 list nope idle 'none-*' --json
error_has 'list: no disk matches nope or 1 more'
json '[d["name"] for d in r["disks"]] == ["idle"] and
      r["error"]["message"] == "no disk matches nope or 1 more"'
status 1 list golden nope --tree --columns name
out_is NAME golden
status 1 clients busy nope
error_has 'clients: no disk matches nope'
grep -q ' busy ' "$tmp/out" || wrong "expected the clients of busy"
status 1 clients gone nope --json
json 'len(r["clients"]) == 1 and r["error"]["exit_code"] == 1'
status 1 disconnect busy nope --dry-run
error_has 'disconnect: no disk matches nope'
out_has 'would disconnect client 2 of busy'
status 1 metrics idle nope
error_has 'metrics: no disk matches nope'
out_has 'mblock_disk_size_bytes{disk="idle"}'
status 1 metrics idle nope --json
json 'len(r["disks"]) == 1 and r["error"]["exit_code"] == 1'
status 0 metrics idle nope --ignore-missing
out_has 'mblock_disk_size_bytes{disk="idle"}'
no_error
status 2 metrics --total idle
error_has '--total: expected no names or patterns with it'
status 1 top --once --delay 0.1 idle nope
error_has 'top: no disk matches nope'
grep -q '^idle ' "$tmp/out" || wrong "expected the other disk"
status 1 top --once nope
error_has 'top: no disk matches nope'
out_empty

# Who is there.
status 0 clients
[ "$(awk '{ print $2, $3, $4 }' "$tmp/out" | paste -sd ' ')" = \
  'DISK ADDRESS PID gone (deleted) unix busy unix 4712 busy unix 4711' ] ||
  wrong "expected three clients"
[ "$(awk -F '  +' '{ print $NF }' "$tmp/out" | paste -sd ' ')" = \
  'CERTIFICATE CN=vm\x1b[31m,O=Big Co - -' ] ||
  wrong "expected the name in one certificate, escaped"
status 0 clients 'bus*' --json
json '[c["id"] for c in r["clients"]] == [2, 1] and r["next"] is None'
status 0 clients busy
! grep -q CERTIFICATE "$tmp/out" || wrong "expected no certificates"
status 1 clients nobody
error_has "clients: no disk matches nobody"
out_empty
status 0 clients golden
out_is "No client has such a disk open."
ok $'would disconnect client 2 of busy (unix, pid 4712)\nwould disconnect client 1 of busy (unix, pid 4711)' \
  disconnect busy --dry-run
ok $'disconnected client 2 of busy (unix, pid 4712)\ndisconnected client 1 of busy (unix, pid 4711): its requests fail from now on' \
  disconnect 'b*'
ok 'disconnected client 3 of gone (unix, pid 4713)' disconnect --id 3
status 1 disconnect nobody
error_has 'disconnect: no disk matches nobody'
status 1 disconnect idle golden
error_has 'disconnect: no client has idle or the others open'
status 1 disconnect --id 99
error_has 'disconnect: there is no client 99'
status 0 list --deleted
out_has 'gone (deleted)'
out_has '1 destroyed disk owns 4K until the last client closes.'

# The server.
status 0 version
out_has 'server     mramdisk 0.1.0, protocol 1'
status 0 methods
out_has 'disk_clone'
status 0 methods disk_clone
out_has '(required)'
status 0 call disk_info '{"name": "golden"}'
json 'r["name"] == "golden"'
status 0 wait-ready
out_empty
status 0 top --once --delay 0.1
out_has 'Clients 2'
grep -q '^busy  *2  *1G  *101M  *5M  *[0-9]' "$tmp/out" || wrong "no rates"
status 0 top -n 2 -d 0.1 --sort name
[ "$(grep -c '^NAME' "$tmp/out")" = 2 ] || wrong "expected two tables"

exit $rc
