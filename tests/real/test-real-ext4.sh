#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A short run of tests/real/filesystems, with ext4.

. "$(dirname "$0")/short.sh"
short filesystems --count 1 --fs ext4
