#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Recovery of files that were truncated or changed at random results in disks or
# in one line.  MBLOCK_DAMAGE_ROUNDS= sets the number of rounds.

set -e
tmp=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$tmp"' EXIT

tests/crash/damage --file="$tmp/arena" --rounds="${MBLOCK_DAMAGE_ROUNDS:-20}"
