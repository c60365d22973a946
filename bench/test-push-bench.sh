#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of push and save still works; its figures are ignored.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
requires nbdcopy
exec "$folder/push-bench" --quick
