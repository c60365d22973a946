#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of mnbd still works; its figures are ignored.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
nbdkit --filter=delay null --dump-plugin >/dev/null 2>&1 ||
    skip "nbdkit has no delay filter"
exec "$folder/mnbd-bench" --quick
