#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that dies within a reply, or sends an invalid one: mnbd reconnects,
# and the client does not notice.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

for replies in structured simple; do
  step "$replies"
  fault_server u
  [ $replies = structured ] || tell u set structured=no
  start_forwarder socket="$tmp/u.sock" reconnect=30
  python <<'END'
from mnbdtest import tell

def found(path, text):
    with open(path) as f:
        return f.read().count(text)

def happens(fault):
    tell("clear")
    tell("fault " + fault)
    h = connect()
    h.pwrite(pattern(100000), 5000)
    check(fault, h.pread(100000, 5000), pattern(100000))
    h.zero(4096, 8192)
    h.flush()
    check(fault + ", again", h.pread(100000, 5000),
          pattern(100000)[:3192] + bytes(4096) + pattern(100000)[7288:])
    h.shutdown()
    check(fault + " happened",
          found("u.jsonl", '"fault": "%s"' % fault) > 0, True)

# The server does not keep to the protocol: one line of the log says how.
def wrong(fault, text):
    text = "broke the protocol: " + text
    before = found("s.log", text)
    happens(fault)
    check('lines "%s" for %s' % (text, fault), found("s.log", text) - before, 1)

for count in 0, 1, 4, 15, 16, 17, 20, 28, 29, 5000, 99999:
    happens("on=read,do=partial,times=2,bytes=%d" % count)
for command in "write", "zero", "flush":
    on = "on=%s,do=" % command
    happens(on + "partial,times=2,bytes=7")
    happens(on + "close,times=2")
    wrong(on + "cookie,times=1", "it answered a request that was not sent")
    wrong(on + "magic,times=1", "it sent something that is not a reply")
    wrong(on + "garbage,then=stay,times=1",
          "it sent something that is not a reply")
    happens(on + "garbage,then=close,times=1")
    happens(on + "down,ms=300,times=1")
END
  stop_server s
  end_fault_server u
done
