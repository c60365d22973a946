#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# With TLS, too, a request that the server carries out late, when its connection
# has been given up, must not undo what is written later.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
requires psktool
requires_nbdkit tls
nbdkit eval --dump-plugin >/dev/null 2>&1 || skip "nbdkit has no eval plugin"

psktool -u alice -p keys.psk >out 2>&1
truncate -s 1M disk
# The script gets the number of bytes as $3, and where they go as $4.  The late
# write ends as soon as its connection was given up, and so within the time for
# which mnbd waits for the server, 5 s.
start_server u --tls=require --tls-psk="$tmp/keys.psk" eval \
  get_size='echo 1M' can_write='exit 0' thread_model='echo parallel' \
  pread="dd if='$tmp/disk' skip=\$4 count=\$3 iflag=skip_bytes,count_bytes" \
  pwrite="cd '$tmp'
          if rm slow
          then cat >old; until [ -e given-up ]; do sleep 0.05; done; cat old
          else cat; fi 2>/dev/null |
          dd of=disk seek=\$4 oflag=seek_bytes conv=notrunc"
start_forwarder socket="$tmp/u.sock" tls=require tls-psk="$tmp/keys.psk" \
  tls-username=alice request-timeout=5 reconnect=600
: >slow
python <<'END'
h = connect()
c = h.aio_pwrite(OLD, 0)
while "did not answer within request-timeout" not in open("s.log").read():
    h.poll(10)
open("given-up", "w").close()
overwritten(h, c)
END
