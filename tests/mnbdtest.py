# SPDX-License-Identifier: BSD-3-Clause
# What the Python parts of mnbd's tests use: the fault server's control socket
# and its log.

import json
import os
import signal
import socket
import time

import nbd

from nbdtest import check


def tell(command, server="u"):
    """Send a command to the fault server's control socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("%s/%s.ctl" % (os.environ["tmp"], server))
        with s.makefile("rw") as stream:
            stream.write(command + "\n")
            stream.flush()
            answer = stream.readline().strip()
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
