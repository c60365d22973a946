# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the benchmarks begin with.  To be sourced by sh.

# fio may be in one of these.
PATH=$PATH:/usr/sbin:/sbin
folder=$(dirname "$0")

skip ()
{
    echo "SKIP: $*"
    exit 77
}

# requires PROGRAM…: skip if one is not installed.
requires ()
{
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# What a benchmark through the server needs: nbdkit, fio with its nbd engine,
# and libnbd's module for Python.
requires_server_bench ()
{
    requires nbdkit fio
    fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"
    /usr/bin/python3 -c 'import nbd' 2>/dev/null ||
        skip "/usr/bin/python3 has no module nbd"
}
