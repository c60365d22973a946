#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# detect-zeroes=yes stores pages of zeros as holes.

. "$(dirname "$0")/../functions.sh"

step "yes"
serve size=16M detect-zeroes=yes
python <<'END'
h = connect("d")
h.pwrite(bytes(64 * PAGE), 0)
check("zeros onto a hole", extents(h), [(16 * MiB, "hole")])

data = pattern(PAGE) + bytes(2 * PAGE) + pattern(PAGE)
h.pwrite(data, 0)
check("zeros between data", extents(h, 4 * PAGE),
      [(PAGE, "data"), (2 * PAGE, "hole"), (PAGE, "data")])
check("content", h.pread(4 * PAGE, 0), data)

h.pwrite(bytes(PAGE), 3 * PAGE)
check("zeros over data", extents(h, 4 * PAGE),
      [(PAGE, "data"), (3 * PAGE, "hole")])

h.pwrite(bytes(PAGE), 100)
check("parts of pages", h.pread(2 * PAGE, 0), pattern(100) +
      bytes(2 * PAGE - 100))

h.pwrite(bytes(PAGE - 1) + b"x", 5 * PAGE)
check("one byte in a page", extents(h, 3 * PAGE, 4 * PAGE),
      [(PAGE, "hole"), (PAGE, "data"), (PAGE, "hole")])
END
stop_server s

step "no is the default"
for parameter in detect-zeroes=no size=16M; do
  serve size=16M $parameter
  python <<'END'
h = connect("d")
h.pwrite(bytes(2 * PAGE), 0)
check("zeros are data", extents(h)[0], (2 * PAGE, "data"))
END
  stop_server s
done
