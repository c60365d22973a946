#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Bad input gets a JSON-RPC error, and disturbs neither that client's connection
# nor other clients.

. "$(dirname "$0")/../functions.sh"

serve size=1M control=control disk=a
python <<'END'
from controltest import *
c, other = Control(), Control()
h = connect("a")

def bad(line, code, text):
    c.send(line + b"\n")
    error = c.read()["error"]
    check("code of %.80r (%s)" % (line, error["message"]), error["code"], code)
    if text not in error["message"]:
        raise SystemExit("FAIL: %.80r: %r, expected %r in it" %
                         (line, error["message"], text))
    check("other clients", other.call("version")["name"], "mramdisk")

for line in (b"{", b"hello", b"{} x", b"'a'", b'{"a":1,"a":2}', b"\xff",
             b'"\xed\xa0\x80"', b"{\"id\":\x00}", b"[" * 100000, b"nan"):
    bad(line, PARSE, "not JSON")
for line in (b"1", b"null", b'"disk_list"', b"true", b"1.5"):
    bad(line, INVALID, "expected an object")
bad(b"[]", INVALID, "batches")
bad(b'[{"jsonrpc":"2.0","id":1,"method":"version"}]', INVALID, "batches")

def request(**members):
    r = {"jsonrpc": "2.0", "id": 1, "method": "version"}
    r.update(members)
    return json.dumps({k: v for k, v in r.items() if v != "-"}).encode()

bad(request(jsonrpc="-"), INVALID, "jsonrpc")
bad(request(jsonrpc="1.0"), INVALID, "jsonrpc")
bad(request(method="-"), INVALID, "method")
bad(request(method=1), INVALID, "method")
bad(request(id=[1]), INVALID, "id")
bad(request(id=True), INVALID, "id")
bad(request(params=[1]), INVALID, "by position")
bad(request(params=None), INVALID, "params")
bad(request(parameters={}), INVALID, "parameters")
bad(request(method="disk_fly"), NO_METHOD, "disk_fly")
bad(request(method=""), NO_METHOD, "there is no method")

P = BAD_PARAMS
c.refused(P, "name is missing: expected a string", "disk_create")
c.refused(P, "size is missing", "disk_resize", name="a")
c.refused(P, "source is missing", "disk_clone", name="b")
c.refused(P, 'unknown parameter "x"', "disk_list", x=1)
c.refused(P, 'unknown parameter "name"', "version", name="a")
c.refused(P, "name: 1: expected a string", "disk_create", name=1)
c.refused(P, "name: null: expected a string", "disk_create", name=None)
c.refused(P, "without NUL", "disk_create", name="a\0b")
MAX = "expected an integer from 0 to 9223372036854775807"
for size in (-1, "1M", 1.5, 1e6, None, True, 1 << 63, 1 << 64, 10 ** 30):
    c.refused(P, MAX, "disk_create", name="b", size=size)
c.refused(P, "expected an integer from 1 to 65536", "disk_create", name="b",
          sector_size=0)
c.refused(P, "power of two", "disk_create", name="b", sector_size=1000)
c.refused(P, "power of two", "disk_create", name="b", sector_size=256)
c.refused(P, "sector_size: 131072", "disk_create", name="b",
          sector_size=131072)
c.refused(P, 'readonly: "yes": expected true or false', "disk_create",
          name="b", readonly="yes")
c.refused(P, "or null", "disk_set", name="a", quota=-1)
c.refused(P, 'if_exists: "no": expected one of "error", "ignore", "replace"',
          "disk_clone", source="a", name="b", if_exists="no")
c.refused(P, "expected an integer from 1 to 1000", "disk_list", limit=0)
c.refused(P, "expected an integer from 1 to 1000", "stats", limit=1001)
c.refused(P, "expected an integer from 1 to 10000", "disk_extents", name="a",
          limit=10001)
c.refused(P, "expected an integer from 1 to 10000", "disk_diff", a="a", b="a",
          limit=0)
c.refused(P, "expected an array", "subscribe", events="created")
c.refused(P, "expected an array", "subscribe", events=["creation"])
c.refused(P, "after: expected only without name", "stats", name="a", after="")
c.refused(P, "there is no method", "help", method="x")
check("nothing was made", c.names(), ["a"])

# Notifications get no answer, right or wrong.
c.send(b'{"jsonrpc":"2.0","method":"disk_create","params":{"name":"n"}}\n'
       b'{"jsonrpc":"2.0","method":"nope"}\n\n  \r\n')
check("a notification is carried out", c.names(), ["a", "n"])

# The longest line there may be, and one byte more.
line = request()
c.send(line + b" " * (1024 * 1024 - len(line)) + b"\n")
check("1 MiB", c.read()["result"]["name"], "mramdisk")
c.send(line + b" " * (1024 * 1024 + 1 - len(line)) + b"\n")
error = c.read()["error"]
check("over 1 MiB", error["code"], INVALID)
check("and closed", c.line(), b"")

c = Control()
c.send(b'{"jsonrpc":"2.0","id":1,"meth')
c.s.close()
c.f.close()
check("other clients", other.call("version")["name"], "mramdisk")
h.pwrite(b"the data path", 0)
check("the data path", h.pread(13, 0), b"the data path")
other.wait("the log", lambda: "in the middle of a line" in open("s.log").read())
END
grep -q 'closed: a line of over 1048576 bytes' s.log ||
  fail "the log does not say that a line was too long"
