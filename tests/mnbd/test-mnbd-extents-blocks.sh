#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Extents are multiples of the minimum block size, whatever the server reports;
# data wins if it reports several types for one block.  What it reports beyond
# the request is passed on.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

fault_server u --set min=4096,size=16386K
start_forwarder socket="$tmp/u.sock"
cat >script <<'END'
import json
from mnbdtest import *
import nbdtest
nbdtest.STATES.update({0: "data", 1: "hole with data", 2: "zero", 3: "hole"})
h = connect()
check("minimum", h.get_block_size(nbd.SIZE_MINIMUM), 4096)

def said(pairs, expected, count=65536, offset=0, flags=0):
    tell("clear")
    tell("fault on=extents,do=chunks,json=" + json.dumps(
        [["extents", 1] + [n for p in pairs for n in p]]))
    got = extents_once(h, count, offset, flags)
    # nbdkit 1.42 drops an extent that begins behind the request.
    if len(got) < len(expected) and sum(n for n, what in got) == count:
        expected = expected[:len(got)]
    check(str(pairs), got, expected)

K = 1024
said([(1, 3)], [(4096, "data")])
said([(4095, 3), (1, 2)], [(4096, "zero")])
said([(4095, 3), (1, 0)], [(4096, "data")])
said([(4095, 0), (1, 3)], [(4096, "data")])
said([(100, 3), (3996, 1)], [(4096, "hole with data")])
said([(8000, 3), (57536, 0)], [(4096, "hole"), (60 * K, "data")])
said([(8000, 0), (57536, 3)], [(8192, "data"), (56 * K, "hole")])
said([(5000, 3), (10, 0), (10, 3), (60516, 3)],
     [(4096, "hole"), (4096, "data"), (56 * K, "hole")])
said([(100, 3)] * 40 + [(61536, 3)], [(64 * K, "hole")])
said([(10000, 3)], [(8192, "hole")])
said([(1, 0), (4095, 3), (4096, 3)], [(4096, "data"), (4096, "hole")])
# Beyond the request, but not beyond the disk, whose end is no multiple.
said([(4096, 0), (1 << 20, 3)], [(4096, "data"), (1 << 20, "hole")], 8192)
# What begins beyond it is left out.
said([(4096, 0), (4096, 3)], [(4096, "data")], 4096)
said([(1 << 30, 3)], [(16386 * K, "hole")])
# With REQ_ONE nbdkit itself cuts it to the request.
said([(1 << 20, 3)], [(4096, "hole")], 4096, 0, nbd.CMD_FLAG_REQ_ONE)
END
python <script
stop_server s

step "over 4 GiB"
tell u clear
tell u set size=20G
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
most = 2**32 - 4096
size = h.get_size()
at = n = 0
while at < size:
    r = extents_once(h, min(most, size - at), at)
    check("extent at %d" % at, sum(x[0] for x in r) % 4096, 0)
    at += sum(x[0] for x in r)
    n += 1
check("the end", at, size)
check("requests", n, 5 + 1)
END
