#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A short run of tests/real/postgresql: two clones under pgbench recover.

. "$(dirname "$0")/short.sh"
short postgresql --count 2 --scale 1
