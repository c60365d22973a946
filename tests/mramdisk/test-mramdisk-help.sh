#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# --help has every parameter, and no line over 80 columns.

. "$(dirname "$0")/../functions.sh"

nbdkit "$mramdisk" --help >out
sed -n '/^plugin:/,$p' out >plugin
for parameter in "[size=]" disk= auto-create= origin-memory= template= template-quota= auto-destroy= default= sector-size= \
    max-memory= max-size= max-disks= max-connections= max-request= \
    detect-zeroes= detect-same= allocator= parallel=; do
  grep -q "^${parameter//[/\\[}" plugin ||
    fail "$parameter is not in: $(cat plugin)"
done
long=$(sed 1,2d plugin | awk 'length > 80')
check "long lines" "$long" ""
