#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A short run of the fuzzer.  A crash fails; without libFuzzer it is skipped.
MBLOCK_FUZZ_SECONDS=${MBLOCK_FUZZ_SECONDS:-5}
export MBLOCK_FUZZ_SECONDS
exec "$(dirname "$0")/run-fuzz.sh" engine
