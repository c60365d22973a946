#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The example of nightly backups does what it says, and leaves nothing.

. "$(dirname "$0")/../example-functions.sh"

requires nbdcopy qemu-img qemu-nbd cmp
example backup
example_passes --nights 2
grep -q 'nights restored  *3 of 3' out || fail "$(tail -n 20 out)"
bad_arguments <<'END'
--nights_'0':_expected_a_number_from_1_to_100 --nights 0
--nights:_expected_a_value_after_it --nights
--build_none:_expected_mramdisk.so_and_mblockctl_there --build none
unknown_argument_'x':_expected_--nights,_--build_or_--help x
END
