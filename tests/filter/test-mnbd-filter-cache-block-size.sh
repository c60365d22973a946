#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A cache whose minimum block size differs from the upstream's, in both
# directions: a client that respects the upstream's notices no difference.

. "$(dirname "$0")/../cache-functions.sh"

sector ()
{
  [ "$1" = 1 ] || printf 'sector-size=%s' "$1"
}

# try UPSTREAM PLUGIN PARAMETERS…: their sector sizes
try ()
{
  local up=$1 down=$2
  shift 2
  step "upstream $up, plugin $down, $*"
  start_server u "$mramdisk" size=2M $(sector "$up")
  beneath=("$mramdisk" size=2M $(sector "$down"))
  start_cache "$@"
  if [ $up -gt 1 ]; then
    check "minimum" "$(nbd_info "$(uri)" block_size_minimum)" $up
  fi
  "$shadow" --requests=3000 --align=$up --dump="$tmp/dump" \
    --connections=2 --max-length=262144 "$(uri)"
  nbdcopy "nbd+unix:///?socket=$tmp/u.sock" up
  cmp dump up || fail "the upstream differs"
  stop_server s
  stop_server u
}

for mode in writethrough writeback; do
  try 1 512 mnbd-cache=$mode
  try 1 65536 mnbd-cache=$mode
  try 512 1 mnbd-cache=$mode
  try 4096 512 mnbd-cache=$mode
  try 65536 1 mnbd-cache=$mode mnbd-cache-max=1M
done
