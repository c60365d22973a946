#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# --dump-plugin shows the limits, and what the plugin was built with.

. "$(dirname "$0")/../functions.sh"

layout=$(sed -n "s/^#define LAYOUT_VERSION //p" \
  "$testdir/../lib/ramdisk/arena-layout.h")
nbdkit "$mramdisk" --dump-plugin >out
for line in name=mramdisk magic_config_key=size errno_is_preserved=1 \
    max_thread_model=parallel mramdisk_page_size=4096 \
    mramdisk_default_size=16777216 mramdisk_max_size=9223372036854775807 \
    mramdisk_default_max_disks=65536 \
    mramdisk_default_max_request=1048576 mramdisk_max_name=4096 \
    "mramdisk_arena_layout=$layout" \
    mramdisk_min_sector_size=512 mramdisk_max_sector_size=65536; do
  grep -qx "$line" out || fail "no line $line in: $(cat out)"
done
for key in version mramdisk_version mramdisk_default_max_memory \
    mramdisk_default_max_connections \
    mramdisk_most_max_memory mramdisk_rcu mramdisk_json mramdisk_compiler; do
  grep -q "^$key=." out || fail "no $key in: $(cat out)"
done
for key in disconnect peer_security_context peer_tls_dn extended_headers; do
  grep -qxE "mramdisk_$key=(yes|no)" out || fail "no $key in: $(cat out)"
done
minor=$(nbdkit --dump-config | sed -n 's/^version_minor=//p')
for has in "disconnect 34" "peer_security_context 36" "peer_tls_dn 40"; do
  set -- $has
  check "$1 in nbdkit 1.$minor" "$(sed -n "s/^mramdisk_$1=//p" out)" \
    "$([ "$minor" -ge "$2" ] && echo yes || echo no)"
done
check "the plugin's version" "$(sed -n 's/^mramdisk_version=//p' out)" \
  "$(sed -n 's/^version=//p' out)"
