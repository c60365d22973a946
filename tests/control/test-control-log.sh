#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each change is logged with the client, the request and the result; methods
# that change nothing are not logged.

. "$(dirname "$0")/../functions.sh"

serve -v size=1M control=control
python <<'END'
from controltest import *
c = Control()
c.call("disk_create", name="a", size=4096)
c.refused("EEXIST", "already", "disk_create", name="a")
c.call("disk_set", name="a", quota=None)
c.call("disk_list")
c.call("disk_destroy", name="a")
open("pid", "w").write(str(os.getpid()))
END
who="control client (pid $(cat pid), uid $(id -u))"
for line in \
  'disk_create {"name":"a","size":4096}: done' \
  'disk_create {"name":"a"}: name: there is a disk "a" already' \
  'disk_set {"name":"a","quota":null}: done' \
  'disk_destroy {"name":"a"}: done'; do
  grep -qF "$who: $line" s.log || fail "the log does not say '$who: $line'"
done
! grep -q disk_list s.log || fail "the log names a method that only looks"
