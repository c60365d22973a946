#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of the filter still works; its figures are not looked at.

. "$(dirname "$0")/prerequisites.sh"
requires nbdkit nbdcopy fio
PATH=$PATH:/usr/sbin:/sbin exec "$(dirname "$0")/filter-bench" --quick
