#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The values of control= and control-mode=, and what they require.

. "$(dirname "$0")/../functions.sh"

refused_start "control=: expected the path of a socket" "$mramdisk" control=
long=$tmp/$(printf 'x%.0s' {1..200})
refused_start "control=$long: expected a path of at most 107 bytes: the \
absolute path has ${#long}" "$mramdisk" control="$long"
refused_start "control=/no/such/folder/s: there is no such folder" \
  "$mramdisk" control=/no/such/folder/s
refused_start "control-group=: expected control= as well"   "$mramdisk" control-group=0
refused_start "control-group=no such: expected the name or the number of a group"   "$mramdisk" control=control control-group="no such"
refused_start "control-mode=600: expected control= as well"   "$mramdisk" control-mode=600
for mode in 8 1000 -1 rw 0x1ff '' ' 600'; do
  refused_start "control-mode=$mode: expected an octal number from 0 to 777"     "$mramdisk" control=control control-mode="$mode"
done

step "auto-create=no needs no disk= if disks can be made later"
refused_start "auto-create=no: expected disk=, control=, arena= or load= as \
well, or there is nothing to connect to" "$mramdisk" auto-create=no
serve auto-create=no default=d control=control
python <<'END'
from controltest import *
c = Control()
refused("no disk yet", None, connect, "d")
c.call("disk_create", name="d", size=4096)
check("the default", connect("").get_size(), 4096)
END
