#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblock-control(7) says of each method of the filter what "help" says of it, as
# test-control-manual.sh has it for the plugin's.

. "$(dirname "$0")/filter-functions.sh"

export page=$testdir/../docs/mblock-control.pod
start_server u "$mramdisk" size=1M
start_server s --filter="$filter" "$mramdisk" size=1M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward mnbd-control=control
nbdsh -c 'from nbdtest import *' -c 'from controltest import *' -c - <<'END'
import json
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
part = text[text.index("=head1 METHODS OF THE MNBD FILTER"):]
part = part[:part.index("\n=head1 ", 1)]
methods = [m for m in Control().call("help")["methods"]
           if m["name"] not in ("version", "help")]
for m in methods:
    if words(section(m)) not in words(part):
        raise SystemExit("FAIL: mblock-control.pod does not have this:\n\n" +
                         section(m))
check("methods in the manual", re.findall(r"^=head2 (\S+)", part, re.M),
      [m["name"] for m in methods])
END
