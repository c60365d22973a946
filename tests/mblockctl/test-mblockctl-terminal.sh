#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# top, map, tables and progress bars in a pseudo-terminal.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
start_fake s.slow slow=0.05
"$ctl" -s "$tmp/s" clone idle disk-{10..58} --quiet
"$ctl" -s "$tmp/s" create --quiet $'evil\e[2J\u009b'
python3 "$tests/mblockctl-terminal.py" "$ctl" "$tmp/s" "$@" || rc=1
exit $rc
