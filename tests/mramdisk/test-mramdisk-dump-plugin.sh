#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# --dump-plugin tells what it was built with and its limits.

. "$(dirname "$0")/functions.sh"

nbdkit "$mramdisk" --dump-plugin >out
for line in name=mramdisk magic_config_key=size errno_is_preserved=1 \
    max_thread_model=parallel mramdisk_page_size=4096 \
    mramdisk_default_size=16777216 mramdisk_max_size=9223372036854775807 \
    mramdisk_default_max_disks=65536 mramdisk_max_name=4096 \
    mramdisk_min_sector_size=512 mramdisk_max_sector_size=65536; do
  grep -qx "$line" out || fail "no line $line in: $(cat out)"
done
for key in version mramdisk_version mramdisk_default_max_memory \
    mramdisk_most_max_memory mramdisk_rcu mramdisk_json mramdisk_compiler; do
  grep -q "^$key=." out || fail "no $key in: $(cat out)"
done
check "the plugin's version" "$(sed -n 's/^mramdisk_version=//p' out)" \
  "$(sed -n 's/^version=//p' out)"
