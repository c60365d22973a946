#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write tests/fuzz/corpus-recover: changes to an arena's file, as
fuzz-recover.c takes them.  Usage: make-corpus-recover.py FOLDER"""

import os
import struct
import sys

HEADER, MAP, TABLE, ROOT, CHILD, ANY, ANY2, CUT = range(8)
RECORD = 256                    # bytes, and the first begins after as many


def at(what, where, data, disk=0):
    return struct.pack("<IBB", where, what | disk << 3, len(data)) + data


def fill(what, where, word, times, disk=0):
    """A word of 4 bytes, repeated up to 128 times."""
    return struct.pack("<IBBI", where, what | disk << 3, 127 + times, word)


def record(number, field, data):
    return at(TABLE, RECORD * (number + 1) + field, data)


def u64(n):
    return struct.pack("<Q", n)


def u32(n):
    return struct.pack("<I", n)


corpus = {
    "good": b"",
    "magic": at(HEADER, 0, b"M"),
    "byte-order": at(HEADER, 16, b"\1\2\3\4"),
    "version": at(HEADER, 20, u32(2)),
    "version-later": at(HEADER, 20, u32(4)),
    "checksum": at(HEADER, 40, u64(0)),
    "state": at(HEADER, 48, u32(9)),
    "creating": at(HEADER, 48, u32(1)),
    "in-use": at(HEADER, 48, u32(2)),
    "chunks-none": at(HEADER, 52, u32(0)),
    "chunks-many": at(HEADER, 52, u32(2**31)),
    "chunks-one": at(HEADER, 52, u32(1)),
    "tables-none": at(HEADER, 56, u32(0)),
    "tables-wrong": at(HEADER, 56, u32(77)),
    "tables-far": at(HEADER, 56, u32(2**32 - 1)),
    "map-empty": fill(MAP, 0, 0, 128),
    "map-full": fill(MAP, 0, 2**32 - 1, 128),
    "table-next": at(TABLE, 20, u32(5)),
    "table-index": at(TABLE, 24, u32(3)),
    "table-garbage": fill(TABLE, 256, 0x5a5a5a5a, 128),
    "root-self": fill(ROOT, 0, 3, 128),
    "root-holes": fill(ROOT, 0, 0, 128),
    "root-zeros": fill(ROOT, 0, 1, 128),
    "root-one-child": fill(ROOT, 0, 5, 128) + fill(ROOT, 512, 5, 128),
    "leaf-far": fill(CHILD, 0, 2**31, 8),
    "leaf-table": fill(CHILD, 0, 2, 64),
    "cut-page": at(CUT, 4096, b""),
    "cut-chunk": at(CUT, 2 << 20, b""),
    "cut-header": at(CUT, 40, b""),
    "cut-middle": at(CUT, 3 << 20, b"") + at(HEADER, 56, u32(600)),
}
for number in range(6):
    for name, field, value in (
            ("seq", 0, u64(1)), ("root", 8, u64(1 << 32 | 9)),
            ("height", 8, u64(6 << 32 | 2)), ("size", 16, u64(2**63)),
            ("settings", 24, u64(2**64 - 1)), ("ephemeral", 32, u32(1)),
            ("sector", 36, u32(512)), ("replaces", 40, u64(1)),
            ("name-len", 48, u32(4096)), ("name-page", 52, u32(4)),
            ("uuid", 64, u64(0)), ("auto-destroy", 32, u32(2)),
            ("complete", 32, u32(8)),
            ("flags", 32, u32(2**32 - 1)), ("id", 80, u64(1)),
            ("id-none", 80, u64(0)), ("id-high", 80, u64(2**63 + 1)),
            ("origin", 88, u64(1)), ("origin-none", 88, u64(0)),
            ("origin-missing", 88, u64(999)), ("parent", 96, u64(1)),
            ("origin-end", 104, u64(2**62)), ("origin-end-none", 104, u64(0)),
            ("kind", 112, u32(1)), ("kind-wrong", 112, u32(2)),
            ("block", 116, u32(3)), ("block-large", 116, u32(2048)),
            ("name", 120, b"\xff\0")):
        corpus["%s-%d" % (name, number)] = record(number, field, value)

os.makedirs(sys.argv[1], exist_ok=True)
for name, data in corpus.items():
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(data)
