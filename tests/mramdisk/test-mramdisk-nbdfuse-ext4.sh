#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A real ext4 file system on a disk, through nbdfuse and a loop mount.

. "$(dirname "$0")/../functions.sh"
. "$testdir/nbdfuse-functions.sh"

serve size=256M
holds_file_system "mkfs.ext4 -q -E nodiscard" "e2fsck -fn"
