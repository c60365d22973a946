#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write tests/fuzz/corpus-wire: replies of honest servers, and some of others,
as fuzz-wire.c takes them.  Usage: make-corpus-wire.py FOLDER"""

import os
import struct
import sys

WRITE, READ, BIG, HIGH, BYTE, EXTENTS, FAILING, FLUSH = range(8)
ZERO = 2**64 - 1
HIGH_OFFSET = 2**63 - 1 - 40000
OFFSETS = {READ: 1000, HIGH: HIGH_OFFSET, BYTE: 5, EXTENTS: 4096, ZERO: 4096}


def simple(cookie, error=0):
    return struct.pack(">IIQ", 0x67446698, error, cookie)


def chunk(kind, cookie, payload=b"", last=True, length=None):
    if length is None:
        length = len(payload)
    return struct.pack(">IHHQI", 0x668e33ef, last, kind, cookie,
                       length) + payload


def long_chunk(kind, cookie, payload=b"", last=True, length=None):
    """With an extended header."""
    if length is None:
        length = len(payload)
    return struct.pack(">IHHQQQ", 0x6e8a278c, last, kind, cookie,
                       OFFSETS.get(cookie, 0), length) + payload


def long_extents(cookie, pairs, last=True, count=None):
    return long_chunk(6, cookie, struct.pack(
        ">II", 1, len(pairs) if count is None else count) +
        b"".join(struct.pack(">QQ", *p) for p in pairs), last)


def data(cookie, offset, payload, last=True, run=0):
    """A run of so many bytes is to follow."""
    return chunk(1, cookie, struct.pack(">Q", offset) + payload, last,
                 8 + len(payload) + run)


def hole(cookie, offset, n, last=True):
    return chunk(2, cookie, struct.pack(">QI", offset, n), last)


def extents(cookie, pairs, last=True, context=1):
    return chunk(5, cookie, struct.pack(">I", context) +
                 b"".join(struct.pack(">II", *p) for p in pairs), last)


def error(cookie, value, text=b"", last=True, offset=None):
    payload = struct.pack(">IH", value, len(text)) + text
    if offset is None:
        return chunk(0x8001, cookie, payload, last)
    return chunk(0x8002, cookie, payload + struct.pack(">Q", offset), last)


def replies(*parts, structured=True, extended=False, cuts=()):
    """Parts are bytes, or the lengths of runs."""
    stream = runs = b""
    n = 0
    for part in parts:
        if isinstance(part, int):
            runs += struct.pack(">H", len(stream)) + part.to_bytes(3, "big")
            n += 1
        else:
            stream += part
    assert n <= 3 and len(cuts) <= 15
    return (bytes([structured | n << 1 | extended << 3 | len(cuts) << 4]) +
            runs +
            b"".join(struct.pack(">H", c) for c in cuts) + stream)


def none(cookie):
    return chunk(0, cookie)


corpus = {
    "simple": replies(
        simple(WRITE), simple(READ), b"r" * 100, simple(BYTE), b"x",
        simple(FLUSH, 5), simple(EXTENTS, 95), simple(ZERO),
        structured=False, cuts=(1, 15, 16, 17)),
    "simple-large": replies(
        simple(BIG), 100000, simple(HIGH), 40000, simple(WRITE),
        structured=False, cuts=(0, 40000, 16, 1)),
    "mixed": replies(
        simple(WRITE), data(READ, 1000, b"a" * 100), simple(FLUSH),
        none(ZERO), cuts=(3,)),
    "read": replies(
        data(READ, 1050, b"b" * 50, last=False), hole(READ, 1020, 30, False),
        data(READ, 1000, b"a" * 20), cuts=(28, 20)),
    "read-interleaved": replies(
        data(BIG, 50000, b"", False, run=50000), 50000,
        data(HIGH, HIGH_OFFSET + 39999, b"z", False), hole(BIG, 10000, 40000,
                                                           False),
        data(HIGH, HIGH_OFFSET, b"", run=39999), 39999,
        data(BIG, 0, b"", False, run=10000), 10000, none(BIG),
        cuts=(65535, 7, 32768)),
    "read-incomplete": replies(
        data(READ, 1000, b"a" * 99), none(BIG), hole(HIGH, HIGH_OFFSET, 1)),
    "extents": replies(
        extents(EXTENTS, [(4096, 0), (8192, 3), (53248, 2)], False),
        none(EXTENTS), extents(FAILING, [(512, i % 4) for i in range(7)]),
        cuts=(8, 5)),
    "extents-many": replies(
        chunk(5, EXTENTS, struct.pack(">I", 7), length=4 + 8 * 20000),
        160000, none(WRITE), cuts=(60001,)),
    "errors": replies(
        data(READ, 1000, b"a" * 30, False), error(READ, 5, b"no", False,
                                                  offset=1030), none(READ),
        error(BIG, 28, b"", False), error(BIG, 12, b"again"),
        chunk(0xffff, EXTENTS, struct.pack(">IH", 0, 0) + b"?" * 40),
        error(ZERO, 95, b"it is slow"), cuts=(20, 6, 1)),
    "error-large": replies(
        chunk(0x8001, READ, struct.pack(">IH", 1, 65535), length=6 + 100000),
        100000, simple(FLUSH), cuts=(50000,)),
    "extended": replies(
        long_chunk(1, READ, struct.pack(">Q", 1000) + b"a" * 60, False),
        long_chunk(2, READ, struct.pack(">QI", 1060, 40), False),
        long_chunk(0, READ), long_chunk(0, WRITE),
        long_chunk(1, BIG, struct.pack(">Q", 0), length=8 + 100000), 100000,
        long_chunk(0x8001, ZERO, struct.pack(">IH", 28, 2) + b"no"),
        extended=True, cuts=(31, 33)),
    "extended-extents": replies(
        long_extents(EXTENTS, [(4096, 0), (2**40, 3)], False),
        long_chunk(0, EXTENTS), long_extents(FAILING, [
            (2**33, i % 4) for i in range(7)]), extended=True, cuts=(16, 7)),
    "wrong-extended-count": replies(
        long_extents(EXTENTS, [(4096, 0)], count=2), extended=True),
    "wrong-extended-wraps": replies(
        long_extents(EXTENTS, [(4096, 0), (2**64 - 1, 0)]), extended=True),
    "wrong-extended-length": replies(
        long_chunk(1, BIG, struct.pack(">Q", 0), length=2**64 - 1),
        extended=True),
    "wrong-extended-compact": replies(simple(WRITE), extended=True),
    "wrong-half-twice": replies(
        data(READ, 1000, b"a" * 50, False), data(READ, 1000, b"a" * 50),
        cuts=(20,)),
    "wrong-overlap": replies(
        hole(BIG, 0, 60000, False), hole(BIG, 70000, 30000, False),
        hole(BIG, 59999, 10001), cuts=(31,)),
    "wrong-gap": replies(
        hole(BIG, 0, 60000, False), hole(BIG, 60001, 39999, False),
        none(BIG)),
    "wrong-no-extents": replies(none(EXTENTS)),
    "wrong-extents-beyond": replies(
        extents(EXTENTS, [(65536, 0), (1, 0), (1, 0)])),
    "read-pieces": replies(
        *[data(READ, 1000 + i * 37 % 100, bytes([i]), i == 99)
          for i in range(100)], cuts=(7,)),
    "wrong-error-bytes": replies(
        *[error(READ, 5, b"e" * 500, False) for i in range(20)],
        chunk(0x8001, READ, struct.pack(">IH", 5, 0), length=(1 << 20) - 9)),
    "wrong-twice": replies(simple(WRITE), simple(WRITE)),
    "wrong-cookie": replies(none(ZERO - 1)),
    "wrong-beyond": replies(hole(READ, 1099, 2)),
    "wrong-behind": replies(data(BYTE, 6, b"a")),
    "wrong-far-behind": replies(data(BYTE, 7, b"a")),
    "wrong-before": replies(data(READ, 999, b"ab", False)),
    "wrong-top": replies(data(HIGH, 2**64 - 1, b"ab")),
    "wrong-length": replies(data(BIG, 0, b"", run=2**32 - 9)),
    "wrong-data": replies(data(WRITE, 0, b"ab")),
    "wrong-simple": replies(simple(READ), b"r" * 100),
    "wrong-extent": replies(extents(EXTENTS, [(4096, 0), (0, 1)]), cuts=(36,)),
    "wrong-context": replies(extents(EXTENTS, [(4096, 0)]),
                             extents(FAILING, [(4096, 0)], context=2)),
    "wrong-error": replies(chunk(0x8002, READ, b"\0" * 13)),
    "wrong-magic": replies(simple(WRITE), b"\x25\x60\x95\x13" + b"\0" * 24),
}

for name, content in corpus.items():
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(content)
