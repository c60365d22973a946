#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark through the server still works; its figures are ignored.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
[ -w /dev/shm ] || skip "/dev/shm cannot be written to"
exec "$folder/server-bench" --quick
