# SPDX-License-Identifier: BSD-3-Clause
# What the tests of mblock-control(7) share: a method's part of the page as
# "help" has it.

import json
import os
import re

from nbdtest import check


def page():
    with open(os.environ["page"], encoding="utf-8") as f:
        return f.read()


def pod(text):
    return text.replace("<", "E<lt>").replace(">", "E<gt>")


def words(text):
    return " ".join(text.split())


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


def check_methods(part, methods):
    """This part of the page has these methods, and no other."""
    for m in methods:
        if words(section(m)) not in words(part):
            raise SystemExit("FAIL: mblock-control.pod does not have this:\n\n"
                             + section(m))
    check("methods in the manual", re.findall(r"^=head2 (\S+)", part, re.M),
          [m["name"] for m in methods])
