#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The example for operators of servers does what it says, and leaves nothing.

. "$(dirname "$0")/../example-functions.sh"

requires_fio
mkdir arena
example upgrade --arena "$tmp/arena"
example_passes --rounds 4
figures_have "4 replacements" "0 errors" "handed over,        2 times" \
  "killed,             2 times"
bad_arguments <<'END'
--rounds_'1':_expected_a_number_from_2_to_10000 --rounds 1
--rounds_'x':_expected_a_number_from_2_to_10000 --rounds x
--rounds_'10001':_expected_a_number_from_2_to_10000 --rounds 10001
--rounds:_expected_a_value_after_it --rounds
--arena_'none':_expected_a_folder_in_which_a_file_can_be_made --arena none
--build_none:_expected_mramdisk.so_and_mnbd.so_there --build none
unknown_argument_'x':_expected_--rounds,_--arena,_--build_or_--help x
END
check "what it leaves in the arena's folder" "$(ls -A arena)" ""
