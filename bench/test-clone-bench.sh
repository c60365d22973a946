#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of the life cycle in process still works; its figures are
# ignored.

exec bench/clone-bench --quick
