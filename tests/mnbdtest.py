# SPDX-License-Identifier: BSD-3-Clause
# What the Python parts of mnbd's tests use: the fault server's control socket
# and its log.

import errno
import json
import os
import signal
import threading
import time

import nbd

from nbdtest import check, extents_once, pattern, refused
from tell import tell as tell_socket


def tell(command, server="u"):
    """Send a command to the fault server's control socket."""
    answer = tell_socket("%s/%s.ctl" % (os.environ["tmp"], server), command)
    if not answer.startswith("ok"):
        raise SystemExit("FAIL: tell %s: %s" % (command, answer))
    return answer[3:]


def power_cut(server="u"):
    """An outage of the volatile server that is over at once: it loses what was
    not flushed, and its connections."""
    def losses():
        with open(server + ".err") as f:
            return f.read().count("lost")

    before = losses()
    with open(server + ".vpid") as f:
        os.kill(int(f.read()), signal.SIGUSR1)
    while losses() == before:
        time.sleep(0.01)


def under_way(log, request, fn, *args, **kw):
    """Call it in a thread, which is returned when the fault server has this
    request, the first since then in the log."""
    log()
    thread = threading.Thread(target=fn, args=args, kwargs=kw)
    thread.start()
    while log() != [request]:
        time.sleep(0.01)
    return thread


def until_back(fn):
    """Call it until it succeeds; before, it may fail as in an outage."""
    for i in range(200):
        try:
            return fn()
        except nbd.Error as e:
            check("errno", e.errno, "ESHUTDOWN")
            time.sleep(0.1)
    raise SystemExit("FAIL: it does not work again")


def all_end(h, cookies):
    """Wait until all these commands have ended, without an error."""
    for c in cookies:
        while not h.aio_command_completed(c):
            h.poll(-1)


OLD = nbd.Buffer.from_bytearray(bytearray(b"old." * 1024))


def overwritten(h, *cookies):
    """These writes of OLD, or of zeros, were in flight when the server lost
    a connection.  What is written after them must stay, even if the server
    still has one in hand, for up to three seconds."""
    all_end(h, cookies)
    new = b"new!" * 1024
    for offset in 0, 4096:
        h.pwrite(new, offset)
    time.sleep(3)
    for offset in 0, 4096:
        check("what was written last", h.pread(4096, offset)[:4], new[:4])


class Log:
    """The fault server's log: each call of new() gives what has come since
    the one before, as (cmd, offset, length), or whole records."""

    def __init__(self, server="u"):
        self.path = "%s/%s.jsonl" % (os.environ["tmp"], server)
        self.seen = 0
        self.records()

    def records(self):
        with open(self.path) as f:
            lines = f.readlines()
        new = [json.loads(line) for line in lines[self.seen:]]
        self.seen = len(lines)
        return [r for r in new if r["event"] == "request"
                and r["cmd"] != "disc"]

    def new(self, *cmds):
        return [(r["cmd"], r["offset"], r["length"]) for r in self.records()
                if not cmds or r["cmd"] in cmds]


def ask(h, on):
    """A request of that kind, whose replies the fault server may change.  The
    disk begins with pattern(65536), and nothing else of it is allocated."""
    data = pattern(65536)
    if on == "read":
        check("content", h.pread(4096, 4096), data[4096:8192])
    elif on == "extents":
        check("extents", extents_once(h, 65536)[0], (65536, "data"))
    else:
        h.pwrite(data[:4096], 0)
        h.flush()


def wrong_reply(h, text, on, fault):
    """Replies with these chunks, or with this fault, are invalid: the request
    is sent again, and is an error if that goes on."""
    if not isinstance(fault, str):
        fault = "do=chunks,json=" + json.dumps(fault)
    fault = "fault on=%s,%s" % (on, fault)
    tell("clear")
    tell(fault + ",times=1")
    log = Log()
    ask(h, on)
    check("%s: times that it was asked" % text, len(log.new(on)), 2)
    tell("clear")
    tell(fault)
    log = Log()
    refused(text, errno.EIO, ask, h, on)
    check("%s: times that it was asked in vain" % text, len(log.new(on)), 3)
    tell("clear")
    ask(h, on)


def right_replies(h):
    """Chunks may come in any order, and one may say that the rest fails."""
    tell('fault on=read,do=chunks,json=[["data",4095,1],["hole",1,4094],'
         '["data",0,1],["none"]]')
    check("in no order", h.pread(4096, 0), b"c" + bytes(4094) + b"c")
    tell("clear")
    tell('fault on=read,do=chunks,json=[["data",0,10],["error",12]]')
    refused("an error", errno.ENOMEM, h.pread, 4096, 0)
    tell("clear")
