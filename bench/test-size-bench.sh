#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of sizes still works; its figures are ignored.

. "$(dirname "$0")/test-functions.sh"
requires nbdkit
/usr/bin/python3 -c 'import nbd' 2>/dev/null ||
    skip "/usr/bin/python3 has no module nbd"
[ -w /dev/shm ] || skip "/dev/shm cannot be written to"
exec "$folder/size-bench" --quick
