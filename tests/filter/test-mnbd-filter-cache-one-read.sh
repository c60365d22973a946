#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Clients that miss the same block at the same time cause one read of the
# upstream; an error is not cached.

. "$(dirname "$0")/../cache-functions.sh"

random_file disk 1M
start_server u --filter=log --filter=delay file disk rdelay=500ms \
  logfile="$tmp/u.requests"
start_cache
python <<'END'
import threading

want = open("disk", "rb").read()[8192:12288]
clients = [connect() for i in range(8)]
got = [None] * 8
def read(i):
    got[i] = clients[i].pread(4096, 8192)
threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
check("what they got", got, [want] * 8)
END
check "reads" "$(grep -c ' Read .*\.\.\.$' u.requests || grep -c ' Read ' \
  u.requests)" 1
check "misses" "$(cache_stat misses)" 1
check "hits" "$(cache_stat hits)" 7
stop_server s
stop_server u

step "an error is not cached"
start_server u --filter=error file disk error-pread=EIO error-pread-rate=100% \
  error-file="$tmp/bad"
start_cache
touch bad
python <<'END'
h = connect()
try:
    h.pread(4096, 0)
    raise SystemExit("FAIL: the read succeeded")
except nbd.Error as e:
    check("errno", e.errno, "EIO")
os.unlink("bad")
check("then", h.pread(4096, 0), open("disk", "rb").read()[:4096])
END
check "upstream_errors" "$(cache_stat upstream_errors)" 1
stop_server s
