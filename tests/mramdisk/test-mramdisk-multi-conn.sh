#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Multi-conn is offered: a flush on one connection covers them all.

. "$(dirname "$0")/../functions.sh"

serve size=1M disk=ro,readonly=yes
python <<'END'
a, b, c = connect("d"), connect("d"), connect("d")
check("can_multi_conn", a.can_multi_conn(), True)
check("and on a read-only disk", connect("ro").can_multi_conn(), True)
check("is_rotational", a.is_rotational(), False)
for i in range(50):
    data = pattern(5000, i)
    a.pwrite(data, i * 5000)
    b.flush()
    check("a third connection after write %d" % i, c.pread(5000, i * 5000),
          data)
END
