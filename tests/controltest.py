# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the control socket use beside nbdtest.py.

import json
import os
import socket
import time

from nbdtest import check

ERRORS = {"ENOENT": -32000, "EEXIST": -32001, "EINVAL": -32002,
          "EFBIG": -32003, "ENFILE": -32004, "ENOSPC": -32005,
          "ENOMEM": -32006, "ENAMETOOLONG": -32007, "EILSEQ": -32007,
          "EBUSY": -32009, "EDQUOT": -32010, "ECHILD": -32011,
          "ESTALE": -32012}
PARSE, INVALID, NO_METHOD, BAD_PARAMS, BUSY = (
    -32700, -32600, -32601, -32602, -32008)


class Control:
    """A client of the control socket of server s."""

    def __init__(self, path=None):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path or os.environ["tmp"] + "/control")
        self.f = self.s.makefile("rb")
        self.n = 0
        self.events = []

    def send(self, data):
        self.s.sendall(data)

    def line(self):
        return self.f.readline()

    def read(self):
        """The next answer; events on the way are kept."""
        while True:
            line = self.line()
            if not line:
                raise EOFError("the server has closed the connection")
            message = json.loads(line)
            check("version of " + repr(line), message.get("jsonrpc"), "2.0")
            if "method" not in message:
                return message
            check("method of a notification", message["method"], "event")
            self.events.append(message["params"])

    def event(self):
        """The next event."""
        while not self.events:
            message = json.loads(self.line())
            self.events.append(message["params"])
        return self.events.pop(0)

    def answer(self, method, /, **params):
        self.n += 1
        request = {"jsonrpc": "2.0", "id": self.n, "method": method}
        if params:
            request["params"] = params
        self.send(json.dumps(request).encode() + b"\n")
        r = self.read()
        check("id of the answer to " + method, r["id"], self.n)
        return r

    def call(self, method, /, **params):
        r = self.answer(method, **params)
        if "error" in r:
            raise SystemExit("FAIL: %s %r: %r" % (method, params, r["error"]))
        return r["result"]

    def refused(self, expected, text, method, /, **params):
        """It must be refused with that code, or that errno's, and the message
        must have text in it."""
        r = self.answer(method, **params)
        if "error" not in r:
            raise SystemExit("FAIL: %s %.200r: it succeeded, expected %r" %
                             (method, params, expected))
        error = r["error"]
        code = ERRORS.get(expected, expected)
        check("%s %.200r: code (%.200r)" % (method, params, error["message"]),
              error["code"], code)
        if expected in ERRORS:
            check("data of " + method, error["data"], {"errno": expected})
        if text not in error["message"]:
            raise SystemExit("FAIL: %s %.200r: the message is %r, expected %r "
                             "in it" % (method, params, error["message"], text))
        if "\n" in error["message"]:
            raise SystemExit("FAIL: %s: a message of more than one line" %
                             method)

    def names(self):
        r, after = [], {}
        while True:
            page = self.call("disk_list", limit=1000, **after)
            r += [d["name"] for d in page["disks"]]
            if page["next"] is None:
                return r
            after = {"after": page["next"]}

    def info(self, name):
        return self.call("disk_info", name=name)

    def wait(self, what, fn):
        """Until fn() is true."""
        end = time.monotonic() + 120
        while not fn():
            if time.monotonic() > end:
                raise SystemExit("FAIL: %s: it did not happen" % what)
            time.sleep(0.01)
