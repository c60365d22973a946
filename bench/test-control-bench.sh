#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark through the control socket still works; its figures are
# ignored.

. "$(dirname "$0")/test-functions.sh"
requires_server_bench
exec "$folder/control-bench" --quick
