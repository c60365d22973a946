#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark through the control socket still works; its figures are not
# looked at.

. "$(dirname "$0")/prerequisites.sh"
requires nbdkit fio
PATH=$PATH:/usr/sbin:/sbin exec "$(dirname "$0")/control-bench" --quick
