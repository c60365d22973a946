#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The default of max-memory= is at most 80 % of the machine's memory.

. "$(dirname "$0")/../functions.sh"

value=$(nbdkit "$mramdisk" --dump-plugin |
  sed -n 's/^mramdisk_default_max_memory=//p')
total=$(awk '/^MemTotal:/ { print $2 * 1024 }' /proc/meminfo)
[ "$value" -ge 1048576 ] || fail "got $value, expected at least 1M"
[ "$value" -le $((total / 100 * 80)) ] ||
  fail "got $value, expected at most 80 % of $total"

step "the server uses that value"
start_server s -v "$mramdisk"
grep -q "max-memory=$value$" s.log ||
  fail "the log does not have max-memory=$value"
