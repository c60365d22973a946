#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdinfo shows what the disk can do, and its map.

. "$(dirname "$0")/functions.sh"

requires nbdinfo
serve size=16M disk=ro,size=1M,readonly=yes,sector-size=512
python <<'END'
h = connect("d")
h.pwrite(pattern(3 * PAGE), 2 * PAGE)
h.zero(PAGE, 8 * PAGE, nbd.CMD_FLAG_NO_HOLE)
END

step "its features"
nbdinfo "$(uri d)" >out
for line in 'export-size: 16777216 (16M)' 'is_rotational: false' \
    'is_read_only: false' 'can_cache: true' 'can_df: true' \
    'can_fast_zero: true' 'can_flush: true' 'can_fua: true' \
    'can_multi_conn: true' 'can_trim: true' 'can_zero: true' \
    'block_size_minimum: 1' 'block_size_preferred: 4096' \
    'description: 16M RAM disk, 12K mapped' 'base:allocation'; do
  grep -qF "$line" out || fail "no '$line' in: $(cat out)"
done
nbdinfo "$(uri ro)" >out
for line in 'is_read_only: true' 'block_size_minimum: 512' \
    'can_multi_conn: true'; do
  grep -qF "$line" out || fail "no '$line' in: $(cat out)"
done

step "its map"
check "nbdinfo --map" "$(nbdinfo --map "$(uri d)" | tr -s ' ')" \
"\
 0 8192 3 hole,zero
 8192 12288 0 data
 20480 12288 3 hole,zero
 32768 4096 2 zero
 36864 16740352 3 hole,zero"
check "nbdinfo --size" "$(nbdinfo --size "$(uri d)")" 16777216

step "its list"
nbdinfo --list "$(uri)" >out
check "exports in nbdinfo --list" "$(grep -c '^export=' out)" 3
