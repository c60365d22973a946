#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An export's description is that of the server whose disk clients see.

. "$(dirname "$0")/../filter-functions.sh"

fault_server u --set size=16M,description="the upstream's words"
for mode in forward cache mirror; do
  step "$mode"
  start_server s --filter="$filter" "$mramdisk" size=16M mnbd-mode=$mode \
    mnbd-socket="$tmp/u.sock"
  nbdsh -c 'h.set_full_info(True)' -u "$(uri)" \
    -c 'print(h.get_export_description())' >out
  case $mode in
    mirror) grep -q '^16M RAM disk' out || fail "$(cat out)";;
    *) check "description" "$(cat out)" "the upstream's words";;
  esac
  stop_server s
done
