#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblock-control(7) describes each method as "help" does: its summary, its
# parameters with type and default, its result.  So the page is as correct as
# the table of methods, which checks the parameters.

. "$(dirname "$0")/../functions.sh"

export page=$testdir/../docs/mblock-control.pod
serve size=1M control=control
python <<'END'
from controltest import *
from manualtest import *

text = page()
check_methods(text[text.index("=head1 METHODS"):text.index("=head1 EVENTS")],
              Control().call("help")["methods"])

events = text[text.index("=head1 EVENTS"):]
events = events[:events.index("\n=head1 ", 1)]
check("events in the manual", re.findall(r"^=item C<(\w+)>", events, re.M),
      Control().call("subscribe")["events"])
END
