#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdinfo shows what the disk can do, and its map.

. "$(dirname "$0")/../functions.sh"

requires nbdinfo
serve size=16M disk=ro,size=1M,readonly=yes,sector-size=512
python <<'END'
h = connect("d")
h.pwrite(pattern(3 * PAGE), 2 * PAGE)
h.zero(PAGE, 8 * PAGE, nbd.CMD_FLAG_NO_HOLE)
END

# has NAME KEY VALUE…
has ()
{
  local name=$1
  shift
  while [ $# -gt 0 ]; do
    check "$1 of $name" "$(nbd_info "$(uri "$name")" "$1")" "$2"
    shift 2
  done
}

step "its features"
has d export-size 16777216 is_rotational False is_read_only False \
  can_cache True can_df True can_fast_zero True can_flush True can_fua True \
  can_multi_conn True can_trim True can_zero True block_size_minimum 1 \
  block_size_preferred 4096 \
  contexts "['base:allocation']"
has ro is_read_only True block_size_minimum 512 can_multi_conn True

step "its map"
nbdinfo --map --json "$(uri d)" >map.json
/usr/bin/python3 - >map <<'END'
import json
for e in json.load(open("map.json")):
    print(e["offset"], e["length"], e["type"], e["description"])
END
check "nbdinfo --map" "$(cat map)" \
"\
0 8192 3 hole,zero
8192 12288 0 data
20480 12288 3 hole,zero
32768 4096 2 zero
36864 16740352 3 hole,zero"
check "nbdinfo --size" "$(nbdinfo --size "$(uri d)")" 16777216

step "its list"
check "exports in nbdinfo --list" "$(nbd_list "$(uri)" | sort)" \
  $'""\n"d"\n"ro"'
