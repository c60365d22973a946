#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# replay-buffer=0, for shared disks: the first flush after an outage that may
# have lost acknowledged writes fails with EIO, and only that one.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# Small, so that the shadow client, which looks at all of it with each flush,
# spends its time with writes that can be lost.
volatile_server u --multi-conn --size=$((1 << 20))
start_forwarder socket="$tmp/u.sock" replay-buffer=0 reconnect=30
python <<'END'
h = connect()
h.pwrite(b"first", 0)
h.flush()

power_cut()
check("what was flushed", h.pread(5, 0), b"first")
h.flush()

h.pwrite(b"again", 0)
power_cut()
check("what was not", h.pread(5, 0), b"first")
refused("the first flush", errno.EIO, h.flush)
h.flush()
h.pwrite(b"third", 0)
h.flush()
check("content", h.pread(5, 0), b"third")

# A write that comes after the loss does not hide it.
h.pwrite(b"lost!", 4096)
power_cut()
h.pwrite(b"kept!", 8192)
refused("the first flush", errno.EIO, h.flush)
h.flush()
power_cut()
check("content", h.pread(5, 8192), b"kept!")

# FUA reports it too, or at least does not take the place of the flush.
h.pwrite(b"lost!", 4096)
power_cut()
try:
    h.pwrite(b"fua", 100, nbd.CMD_FLAG_FUA)
    refused("the flush after FUA", errno.EIO, h.flush)
except nbd.Error as e:
    check("errno of FUA", e.errno, "EIO")
END

# storm PAUSE: returns whether a flush has failed.
storm ()
{
  local i
  step "at random, every $1 s"
  start_shadow --mode=fsync --connections=2 --trim-zeroes "$(uri)"
  for ((i = 0; i < outages; i++)); do
    sleep "$1"
    kill -USR1 $volatile_pid
  done
  shadow_passed
  ! grep -q 'flush errors 0,' shadow.out
}

# On a busy machine the client may have nothing to lose when an outage comes.
for pause in 0.2 0.5 1 2 5; do
  if storm $pause; then
    exit 0
  fi
done
fail "no flush failed"
