#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The benchmark of the filter still works; its figures are not looked at.

for program in nbdkit nbdcopy fio; do
    if ! command -v $program >/dev/null; then
        echo "SKIP: $program is not installed"
        exit 77
    fi
done
if ! fio --enghelp 2>/dev/null | grep -qw nbd; then
    echo "SKIP: fio has no nbd engine"
    exit 77
fi
if ! /usr/bin/python3 -c 'import nbd' 2>/dev/null; then
    echo "SKIP: /usr/bin/python3 has no module nbd"
    exit 77
fi
PATH=$PATH:/usr/sbin:/sbin exec "$(dirname "$0")/filter-bench" --quick
