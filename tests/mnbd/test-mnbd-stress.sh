#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The stress loop of stress-mnbd.sh, a few rounds of it.

MBLOCK_TEST_SECONDS=${MBLOCK_TEST_SECONDS:-10}
. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

PLUGIN=$plugin "$BASH" "$testdir/stress-mnbd.sh" --seconds="$seconds"
