#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With -v the log says when a disk is made, kept and dropped.

. "$(dirname "$0")/functions.sh"

start_server s -v "$mramdisk" size=1M disk=given,size=3G
python <<'END'
import time

h = connect("written")
h.pwrite(b"x", 0)
h.shutdown()
h = connect("looked\nat")
h.pread(1, 0)
h.shutdown()
for i in range(1000):
    if list(names()) == ["given", "written", ""]:
        break
    time.sleep(0.01)
check("exports", list(names()), ["given", "written", ""])
END
stop_server s
for line in 'disk "given" is made, of 3G' 'disk "written" is made, of 1M' \
    'disk "written" is kept, with nobody connected' \
    'disk "looked\x0aat" is made, of 1M' 'disk "looked\x0aat" is dropped'; do
  grep -qF "debug: $line" s.log || fail "the log does not say '$line'"
done
for line in 'disk "written" is dropped' 'disk "looked\x0aat" is kept'; do
  ! grep -qF "$line" s.log || fail "the log says '$line'"
done
