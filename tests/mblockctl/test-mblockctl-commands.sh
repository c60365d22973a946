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
json 'r["size"] == 1 << 30 and r["readonly"] and r["quota"] == 512 << 10 and
      r["sector_size"] == 4096'
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
status 0 destroy --force d
out_empty
no_error

# The JSON of changes: an object for one disk, an array for several.
status 0 clone golden x --json
json 'r == {"name": "x", "created": True, "replaced": False}'
status 0 clone golden y z --json
json '[d["name"] for d in r] == ["y", "z"]'
status 0 resize x 1M --json
json 'r == {"name": "x", "size": 1 << 20, "old_size": 10 << 30}'
status 0 set x --readonly --json
json 'r == {"name": "x", "readonly": True, "quota": None}'
status 0 create w 0 --json
json 'r["created"]'
status 0 destroy w --json
json 'r == {"name": "w"}'
status 0 destroy x y z --json
json 'len(r) == 3'

# Look.
ok $'a\nb\nbusy\nc\ngolden\nidle' list --names
ok $'b\nbusy\ngolden' list -n 'b*' '*old*'
status 0 list -0 idle
[ "$(od -An -c "$tmp/out" | tr -d ' \n')" = 'idle\0' ] || wrong "expected NUL"
status 0 list 'b*'
out_is 'NAME  SIZE  MAPPED  QUOTA  SECTOR  CLIENTS  MODE' \
       'b       1G       0   512K      4K        0  ro' \
       'busy    1G    101M     1G     any        2  rw'
status 0 list busy --bytes
out_has '1073741824  105906176'
status 0 info busy
out_has 'Quota         1073741824 bytes (1G), <1% used'
status 0 info busy golden
out_has 'Mode          read-only'
status 0 info busy golden --json
json 'len(r) == 2 and r[1]["exclusive"] == 3 << 30'
status 0 extents idle --offset 8M --length 5M --sharing
out_is '  OFFSET   LENGTH  SIZE  TYPE' ' 8388608  4194304    4M  zero' \
       '12582912  1048576    1M  hole'
status 0 extents idle --offset=3M --sharing
out_has ', own'
out_has ', shared'
status 0 extents idle --json
json 'r["next"] is None and sum(e["length"] for e in r["extents"]) == 16 << 20'
status 0 diff golden busy --summary
out_is 'The disks differ in 102400 bytes (100K), in 25 places.'
status 0 diff golden golden
out_is 'The disks do not differ.'
status 0 diff golden busy --json
json 'len(r["extents"]) == 25'
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
