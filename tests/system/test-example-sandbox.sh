#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The example for operators of sandboxes does what it says, and leaves nothing.

. "$(dirname "$0")/../example-functions.sh"

requires nbdcopy mke2fs e2fsck debugfs tar cmp
files=usr/include/linux
[ -d /$files ] || skip "there is no /$files to make an image of"

example sandbox
example_passes --clones 30 --files "$files"
figures_have "(30 in " "in each of 3 clones" "(4 in " "all memory back"
bad_arguments <<'END'
--clones_'9':_expected_a_number_from_10_to_50000 --clones 9
--clones_'x':_expected_a_number_from_10_to_50000 --clones x
--clones_'50001':_expected_a_number_from_10_to_50000 --clones 50001
--clones:_expected_a_value_after_it --clones
--files:_there_is_no_/none --files none
--files:_'/usr':_expected_a_path_relative_to_/,_without_the_slash --files /usr
--build_none:_expected_mramdisk.so_and_mblockctl_there --build none
unknown_argument_'x':_expected_--clones,_--files,_--build_or_--help x
END
