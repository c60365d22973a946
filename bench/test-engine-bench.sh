#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark in process still works; its figures are ignored.

. "$(dirname "$0")/test-functions.sh"
plugindir=$(pkg-config --variable=plugindir nbdkit) &&
    test -f "$plugindir/nbdkit-memory-plugin.so" ||
    skip "nbdkit's memory plugin was not found"
exec bench/engine-bench --quick
