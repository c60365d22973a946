#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trimmed memory is returned to the system, also in the background.

. "$(dirname "$0")/../functions.sh"

# Going to the background is a fork: threads that were started before are lost.
nbdkit -U "$sock" -P "$tmp/daemon.pid" "$mramdisk" size=1G
for ((i = 0; i < 600; i++)); do
  [ -s daemon.pid ] && break
  pause 0.05
done
daemon=$(cat daemon.pid)
export daemon
at_exit kill "$daemon"
python <<'END'
import time

def resident():
    with open("/proc/%s/status" % os.environ["daemon"]) as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * KiB

before = resident()
h = connect("d")
for offset in range(0, 128 * MiB, MiB):
    h.pwrite(pattern(MiB), offset)
full = resident()
if full - before < 120 * MiB:
    raise SystemExit("FAIL: it has %d bytes, expected 128 MiB more than %d" %
                     (full, before))
h.trim(1 * GiB, 0)
for i in range(3000):
    if resident() - before < 8 * MiB:
        break
    time.sleep(0.01)
left = resident() - before
if left >= 8 * MiB:
    raise SystemExit("FAIL: %d bytes are still resident" % left)
END
