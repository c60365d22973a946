#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblock-control(7) says of each method what "help" says of it: its summary, its
# parameters with type and default, its result.  So the page is as right as the
# table of methods, which is what checks the parameters.

. "$(dirname "$0")/functions.sh"

export page=$testdir/../docs/mblock-control.pod
serve size=1M control=control
python <<'END'
from controltest import *
from manualtest import *

text = page()
check_methods(text[text.index("=head1 METHODS"):text.index("=head1 EVENTS")],
              Control().call("help")["methods"])

events = text[text.index("=head1 EVENTS"):text.index("=head1 ERRORS")]
check("events in the manual", re.findall(r"^=item C<(\w+)>", events, re.M),
      Control().call("subscribe")["events"])
END
