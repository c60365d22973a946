#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each operation on an arena in a file keeps its promise if it is ended after
# any of its stores.  MBLOCK_CRASH_SEEDS= sets the number of random states to
# begin with.

set -e
tmp=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$tmp"' EXIT

seeds=${MBLOCK_CRASH_SEEDS:-3}
tests/crash/crash --file="$tmp/arena" --seeds="$seeds"
tests/crash/crash --file="$tmp/arena" --kind=11 --seeds=10        # resize
tests/crash/crash --file="$tmp/arena" --seeds=1 --first=1000 --recovery
