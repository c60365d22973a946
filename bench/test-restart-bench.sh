#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of restarts still works; its figures are not looked at.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
arena=$(mktemp -d)
"$folder/restart-bench" --quick --folder "$arena"
rc=$?
rm -rf "$arena"
exit $rc
