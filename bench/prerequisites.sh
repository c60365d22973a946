# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the benchmarks that start servers need.  To be sourced by sh.

# requires PROGRAM…: skip without one of them, fio's nbd engine, or libnbd.
requires ()
{
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
    fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"
    /usr/bin/python3 -c 'import nbd' 2>/dev/null ||
        skip "/usr/bin/python3 has no module nbd"
}

skip ()
{
    echo "SKIP: $*"
    exit 77
}
