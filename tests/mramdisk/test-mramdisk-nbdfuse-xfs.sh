#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A real xfs file system on a disk, through nbdfuse and a loop mount.

. "$(dirname "$0")/../functions.sh"
. "$testdir/nbdfuse-functions.sh"

serve size=512M
holds_file_system "mkfs.xfs -q -K" "xfs_repair -n -f"
