#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write tests/fuzz/corpus-engine: lists of operations, as fuzz-engine.c takes
them.  Usage: make-corpus-engine.py FOLDER"""

import os
import struct
import sys

(WRITE, DETECT, READ, ZERO, ALLOCATE, TRIM, RESIZE, QUOTA, CLONE, RESET, NEW,
 EXTENTS, SHARING, DIFF) = range(14)
START, LEAF, END, PAGE = range(4)
WHOLE, PAGES = 1, 2


def op(kind, a=0, b=0, where=START, n=0, count=0, value=0, how=0):
    return struct.pack("<BBHHB", kind, a | b << 2 | where << 4 | how << 6, n,
                       count, value)


def look(a, b):
    """All that can be asked about two disks."""
    return (op(EXTENTS, a, count=1100, how=PAGES) +
            op(SHARING, b, count=1100, how=PAGES) + op(DIFF, a, b) +
            op(READ, b, where=LEAF, count=65535))


filled = op(WRITE, count=60000, value=7) + op(
    WRITE, where=LEAF, count=30, value=9, how=PAGES)
clone = op(CLONE, 0, 1)

corpus = {
    "write": filled + op(WRITE, n=4000, count=200, value=3) + look(0, 1),
    "write-beyond": op(WRITE, where=END, n=100, count=101, value=1),
    "write-end": op(WRITE, 3, where=END, n=100, count=100, value=1) +
    look(3, 2),
    "detect": filled + op(DETECT, n=5000, count=30000) + look(0, 1),
    "zero": filled + op(ZERO, n=100, count=20000) +
    op(ALLOCATE, where=LEAF, n=3, count=9000) + look(0, 1),
    "trim": filled + op(TRIM, n=100, count=50000) +
    op(TRIM, where=END, n=60000, count=60000) + look(0, 1),
    "trim-all": filled + clone + op(TRIM, count=1100, how=PAGES) + look(0, 1),
    "clone": filled + clone + op(WRITE, n=8192, count=10, value=4) +
    op(WRITE, 1, n=8192, count=10, value=5) + look(0, 1) + look(1, 0),
    "same": filled + clone + op(WRITE, 1, count=60000, value=7) + look(1, 0),
    "reset": filled + clone + op(WRITE, 1, count=9000, value=5) +
    op(RESET, 1) + look(0, 1),
    "chain": filled + clone + op(CLONE, 1, 2) + op(WRITE, 2, n=1, count=1,
                                                   value=1) +
    op(NEW, 1, n=5000) + op(RESET, 2) + look(2, 1),
    "shrink": filled + clone + op(RESIZE, n=10000) + look(0, 1) +
    op(RESIZE, where=LEAF, n=65535) + look(0, 1),
    "grow": op(WRITE, 3, count=12298, value=2) + op(RESIZE, 3, where=LEAF,
                                                    n=65535) +
    op(WRITE, 3, where=END, n=300, count=300, value=2) + look(3, 0),
    "nothing": op(RESIZE) + op(RESIZE, 1) + look(0, 1) + op(WRITE, value=1),
    "quota": op(QUOTA, n=40000) + filled + op(QUOTA, value=1) + filled,
    "full": b"".join(op(WRITE, i, count=1024, value=i + 1, how=PAGES)
                     for i in range(4)) + clone + op(CLONE, 0, 2) +
    op(WRITE, 1, n=3, count=900, value=8, how=PAGES) +
    op(DETECT, 2, count=1023, value=8, how=PAGES | WHOLE) +
    op(RESIZE, 2, n=5000) + op(TRIM, 1, count=1000, how=PAGES) + look(1, 2),
}

os.makedirs(sys.argv[1], exist_ok=True)
for name, data in corpus.items():
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(data)
