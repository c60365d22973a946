#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# At max-memory, writes of new pages get ENOSPC; everything else works.

. "$(dirname "$0")/../functions.sh"

serve size=16M max-memory=2M
python <<'END'
import time

PAGES = 2 * MiB // PAGE
h, other = connect("d"), connect("other")
other.pwrite(pattern(PAGE, 9), 0)

# Fill it page by page.
stored = 0
while True:
    try:
        h.pwrite(pattern(PAGE, stored), stored * PAGE)
    except nbd.Error as e:
        check("errno at the limit", e.errno, "ENOSPC")
        break
    stored += 1
    if stored > PAGES:
        raise SystemExit("FAIL: more pages were stored than max-memory has")
if stored < PAGES * 0.97:
    raise SystemExit("FAIL: only %d of %d pages can be stored" %
                     (stored, PAGES))

def intact(what):
    for i in range(stored):
        check("%s: page %d" % (what, i), h.pread(PAGE, i * PAGE),
              pattern(PAGE, i))
    check(what + ": the other disk", other.pread(PAGE, 0), pattern(PAGE, 9))
    check(what + ": extents", extents(h), [(stored * PAGE, "data"),
                                           (16 * MiB - stored * PAGE, "hole")])

intact("after the refusal")
refused("a page of the other disk", errno.ENOSPC, other.pwrite, b"x", PAGE)
refused("and again", errno.ENOSPC, h.pwrite, b"x", stored * PAGE)

# What is there can be overwritten.
for i in range(0, stored, 7):
    h.pwrite(pattern(PAGE, i + 1000), i * PAGE)
    h.pwrite(pattern(PAGE, i), i * PAGE)
intact("after overwriting")

# A write that needs but one page too many changes none.
refused("a write of two stored pages and new ones", errno.ENOSPC, h.pwrite,
        pattern(4 * PAGE, 77), (stored - 2) * PAGE)
refused("a write of new pages", errno.ENOSPC, h.pwrite,
        pattern(MiB, 77), 8 * MiB + 100)
intact("after a refused write of several pages")

# Zeros and trims need no page.
h.zero(MiB, 12 * MiB)
intact("after a zero of holes")

# Trim makes room, at once, and as much as was trimmed.
h.trim(10 * PAGE, 0)
h.pwrite(pattern(10 * PAGE, 88), 0)
check("written where it was trimmed", h.pread(10 * PAGE, 0),
      pattern(10 * PAGE, 88))
h.trim(10 * PAGE, 0)
h.pwrite(pattern(8 * PAGE, 88), 8 * MiB)
check("written elsewhere", h.pread(8 * PAGE, 8 * MiB), pattern(8 * PAGE, 88))

# The memory of a whole disk goes to another, again and again.
for i in range(5):
    h.trim(16 * MiB, 0)
    check("mapped", mapped(h), 0)
    other.pwrite(pattern(MiB + MiB // 2, i), 5 * MiB)
    check("written %d" % i, other.pread(MiB + MiB // 2, 5 * MiB),
          pattern(MiB + MiB // 2, i))
    other.trim(16 * MiB, 0)
    h.pwrite(pattern(MiB + MiB // 2, i), 7 * MiB)
END
grep -q 'disk "d": write of .* bytes at .*: max-memory=2M is reached' s.log ||
  fail "the log does not say that max-memory=2M is reached"
