#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A process under load is killed some hundred times; everything that was
# answered is recovered.  MBLOCK_KILL_ROUNDS= sets the number of rounds.

set -e
tmp=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$tmp"' EXIT

if [ -n "$MBLOCK_KILL_ROUNDS" ]; then
  tests/crash/kill --file="$tmp/arena" --rounds="$MBLOCK_KILL_ROUNDS"
else
  tests/crash/kill --file="$tmp/arena" --rounds=300 --seconds=20
fi
