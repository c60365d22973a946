#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With -v, the log says when a disk is created, kept and dropped.

. "$(dirname "$0")/../functions.sh"

start_server s -v "$mramdisk" size=1M disk=given,size=3G
python <<'END'
h = connect("written")
h.pwrite(b"x", 0)
h.shutdown()
h = connect("looked\nat")
h.pread(1, 0)
h.shutdown()
become("exports", lambda: list(names()), ["given", "written", ""])
END
stop_server s
# nbdkit 1.42 doubles each backslash of what it logs for debugging.
sed 's/\\\\/\\/g' s.log >said
for line in 'disk "given" was created, size 3G' \
    'disk "written" was created, size 1M' \
    'disk "written" is kept without clients' \
    'disk "looked\x0aat" was created, size 1M' \
    'disk "looked\x0aat" was dropped'; do
  grep -qF "debug: $line" said || fail "the log does not say '$line'"
done
for line in 'disk "written" was dropped' 'disk "looked\x0aat" is kept'; do
  ! grep -qF "$line" said || fail "the log says '$line'"
done
