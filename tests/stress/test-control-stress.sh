#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Run the stress test for a while: MBLOCK_STRESS_SECONDS, or a few seconds.
# What is freed is filled with a pattern, so that using it is noticed without
# a sanitizer, too.
MALLOC_PERTURB_=165
export MALLOC_PERTURB_
exec tests/stress/control-stress --seconds "${MBLOCK_STRESS_SECONDS:-4}"
