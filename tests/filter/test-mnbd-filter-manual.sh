#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblock-control(7) says of each method of the filter what "help" says of it, as
# test-control-manual.sh has it for the plugin's.

. "$(dirname "$0")/../filter-functions.sh"

export page=$testdir/../docs/mblock-control.pod
start_server u "$mramdisk" size=1M
start_server s --filter="$filter" "$mramdisk" size=1M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control=control
python <<'END'
from controltest import *
from manualtest import *

text = page()
part = text[text.index("=head1 METHODS OF THE MNBD FILTER"):]
part = part[:part.index("\n=head1 ", 1)]
check_methods(part, [m for m in Control().call("help")["methods"]
                     if m["name"] not in ("version", "help")])
END
