# SPDX-License-Identifier: BSD-3-Clause
# What the tests' Python parts use: connections, checks, extents.

import errno
import os
import re
import socket
import struct
import threading
import time

import nbd

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
PAGE = 4 * KiB
LEAF = 1024 * PAGE              # what one leaf of the tree covers


def connect(name="", strict=False, server="s", setup=None):
    """Open an export of the server.  Unless strict is asked for, libnbd sends
    what it knows to be wrong, so that the server has to refuse it."""
    h = nbd.NBD()
    h.set_export_name(name)
    h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    if not strict:
        h.set_strict_mode(0)
    if setup:
        setup(h)
    h.connect_unix("%s/%s.sock" % (os.environ["tmp"], server))
    return h


def check(what, actual, expected):
    if actual != expected:
        raise SystemExit("FAIL: %s: got %.300r, expected %.300r" %
                         (what, actual, expected))


def refused(what, expected, fn, *args, **kw):
    """fn must fail with that errno, or with any if None is expected."""
    try:
        fn(*args, **kw)
    except nbd.Error as e:
        if expected is not None:
            check(what, e.errno, errno.errorcode[expected])
        return str(e)
    raise SystemExit("FAIL: %s: it succeeded, expected %s" %
                     (what, errno.errorcode.get(expected, "a failure")))


STATES = {0: "data", nbd.STATE_ZERO: "zero",
          nbd.STATE_HOLE | nbd.STATE_ZERO: "hole"}


def extents_once(h, count, offset=0, flags=0):
    """One request: what the server answers, as (length, state)."""
    r = []

    def add(context, off, entries, err):
        check("context", context, nbd.CONTEXT_BASE_ALLOCATION)
        check("offset of extents", off, offset)
        for i in range(0, len(entries), 2):
            r.append((entries[i], STATES[entries[i + 1]]))

    h.block_status(count, offset, add, flags=flags)
    return r


def extents(h, count=None, offset=0):
    """All extents of a range, neighbours joined, cut at its end."""
    if count is None:
        count = h.get_size() - offset
    r = []
    while count > 0:
        for length, state in extents_once(h, min(count, 2 * GiB), offset):
            length = min(length, count)
            if r and r[-1][1] == state:
                r[-1] = (r[-1][0] + length, state)
            elif length > 0:
                r.append((length, state))
            offset += length
            count -= length
    return r


def mapped(h):
    """How many bytes hold data."""
    return sum(n for n, state in extents(h) if state == "data")


def without_uuid(description):
    """A description that must end with a UUID; returns what is before that."""
    text, uuid = re.fullmatch(
        "(.*), UUID ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
        description).groups()
    return text


def names(server="s", uuids=False):
    """The export list: a dictionary of name and description.  uuids: what
    mramdisk says of UUIDs stays there."""
    r = {}

    def setup(h):
        h.set_opt_mode(True)

    h = connect(server=server, setup=setup)
    h.opt_list(lambda name, description: r.update({name: description}))
    h.opt_abort()
    if not uuids:
        r = {name: without_uuid(d) if " RAM disk, " in d else d
             for name, d in r.items()}
    return r


def become(what, fn, expected):
    """Wait until fn returns that: a disk that was only looked at goes soon after
    its client has."""
    for i in range(3000):
        if fn() == expected:
            return
        time.sleep(0.01)
    check(what, fn(), expected)


def not_before(what, began, seconds):
    """It must have taken at least that long since began (time.monotonic): a
    rate or a timeout.  An upper bound would fail on a busy machine."""
    passed = time.monotonic() - began
    if passed < seconds:
        raise SystemExit("FAIL: %s: after %.2f s, expected at least %g s" %
                         (what, passed, seconds))


class Thread(threading.Thread):
    """A thread that, if it fails, makes the thread that joins it fail."""

    error = None

    def run(self):
        try:
            super().run()
        except BaseException as e:      # SystemExit, too: check raises it
            self.error = e

    def join(self):
        super().join()
        if self.error:
            raise self.error


def pattern(length, seed=1):
    """Bytes that differ from page to page and from seed to seed, none 0."""
    unit = b"".join(struct.pack("<HH", 257 + seed % 1000, i * 2 + 257)
                    for i in range(1000))
    unit = bytes(b or 255 for b in unit)
    return (unit * (length // len(unit) + 1))[:length]


class Raw:
    """The handshake by hand, to send what libnbd would not."""

    LIST, INFO, GO = 3, 6, 7
    ACK, ERR_INVALID, ERR_UNKNOWN = 1, 0x80000003, 0x80000006

    def __init__(self, server="s"):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect("%s/%s.sock" % (os.environ["tmp"], server))
        magic, opt, flags = struct.unpack(">8s8sH", self.read(18))
        check("magic", (magic, opt), (b"NBDMAGIC", b"IHAVEOPT"))
        self.s.sendall(struct.pack(">I", 1))

    def read(self, n):
        r = b""
        while len(r) < n:
            part = self.s.recv(n - len(r))
            if not part:
                raise EOFError("the server has closed the connection")
            r += part
        return r

    def option(self, option, data):
        """Send an option and return the first reply's type and payload."""
        self.s.sendall(struct.pack(">8sII", b"IHAVEOPT", option, len(data)) +
                       data)
        magic, opt, reply, n = struct.unpack(">QIII", self.read(20))
        check("magic of the reply", magic, 0x3e889045565a9)
        check("option of the reply", opt, option)
        return reply, self.read(n)

    def go(self, name, option=GO):
        return self.option(option, struct.pack(">I", len(name)) + name +
                           struct.pack(">H", 0))
