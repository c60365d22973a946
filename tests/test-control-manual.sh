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
import re

def pod(text):
    return text.replace("<", "E<lt>").replace(">", "E<gt>")

def section(method):
    """What the page must have of it, as POD."""
    r = ["=head2 %s" % method["name"], method["summary"]]
    if method["params"]:
        r.append("=over")
        for p in method["params"]:
            item = "=item B<%s> - %s" % (p["name"], pod(p["type"]))
            if p["required"]:
                item += "; required"
            elif p["default"] is not None:
                item += "; default C<%s>" % json.dumps(p["default"])
            r += [item, p["summary"]]
        r.append("=back")
    r.append("Result: C<< %s >>" % method["result"])
    return "\n\n".join(r) + "\n"

def words(text):
    return " ".join(text.split())

text = open(os.environ["page"], encoding="utf-8").read()
methods = Control().call("help")["methods"]
for m in methods:
    if words(section(m)) not in words(text):
        raise SystemExit("FAIL: mblock-control.pod does not have this:\n\n" +
                         section(m))
part = text[text.index("=head1 METHODS"):text.index("=head1 EVENTS")]
check("methods in the manual", re.findall(r"^=head2 (\S+)", part, re.M),
      [m["name"] for m in methods])

events = text[text.index("=head1 EVENTS"):text.index("=head1 ERRORS")]
check("events in the manual", re.findall(r"^=item C<(\w+)>", events, re.M),
      Control().call("subscribe")["events"])
END
