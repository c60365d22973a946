# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the mirror use: its status, and both sides compared.

import json
import os
import time

import nbd

from controltest import Control
from nbdtest import MiB, check, connect, extents

control = Control()


def status():
    mirrors = control.call("mirror_status")["mirrors"]
    check("mirrors", len(mirrors), 1)
    return mirrors[0]


def wait_state(state, seconds=120):
    """Wait until the mirror says that; returns its status."""
    end = time.monotonic() + seconds
    while True:
        s = status()
        if s["state"] == state:
            return s
        if time.monotonic() > end:
            raise SystemExit("FAIL: expected %s: %r" % (state, s))
        time.sleep(0.02)


def synchronised(seconds=120):
    s = wait_state("synchronised", seconds)
    check("bytes out of sync", s["bytes_out_of_sync"], 0)
    check("bytes done", s["bytes_done"], s["bytes_total"])
    return s


def verify(**params):
    """The result of a comparison that the server makes."""
    control.call("mirror_verify", **params)
    while True:
        v = status()["verify"]
        if not v["running"]:
            return v
        time.sleep(0.02)


def content(server, name=""):
    """All bytes of an export, by pieces; None for zeros."""
    h = connect(name, server=server)
    size = h.get_size()
    offset = 0
    while offset < size:
        n = min(MiB, size - offset)
        data = bytes(h.pread(n, offset))
        yield offset, data if data.strip(b"\0") else None
        offset += n
    h.shutdown()


def same(a="s", b="u", name=""):
    """Compare both sides in full, by their clients."""
    n = 0
    for (offset, x), (_, y) in zip(content(a, name), content(b, name),
                                   strict=True):
        if x != y:
            for i in range(len(x or y)):
                if (x[i] if x else 0) != (y[i] if y else 0):
                    raise SystemExit("FAIL: %s and %s differ at %d" %
                                     (a, b, offset + i))
        n += 1
    return n
