#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Run the stress test for a while: MBLOCK_STRESS_SECONDS, or a few seconds.
exec tests/stress/origin-stress --seconds "${MBLOCK_STRESS_SECONDS:-5}"
