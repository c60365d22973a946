#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The client gets the server's errors with the same errno, and the connection
# continues.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u
start_forwarder socket="$tmp/u.sock"
# ENOTSUP and EOVERFLOW are only for flags that the protocol names; nbdkit
# itself turns them into EINVAL elsewhere.
for errno in EPERM EIO ENOMEM EINVAL ENOSPC ESHUTDOWN; do
  step "$errno"
  tell u fault "on=any,do=error,errno=$errno"
  python <<END
h = connect()
for what, f in (("read", lambda: h.pread(100, 0)),
                ("write", lambda: h.pwrite(b"x", 0)),
                ("zero", lambda: h.zero(4096, 0)),
                ("trim", lambda: h.trim(4096, 0)),
                ("flush", lambda: h.flush()),
                ("cache", lambda: h.cache(4096, 0)),
                ("FUA", lambda: h.pwrite(b"x", 0, nbd.CMD_FLAG_FUA)),
                ("extents", lambda: extents(h))):
    # nbdkit's server may carry out a cache request with reads.
    refused(what, errno.$errno, f)
END
  tell u clear
done

step "fast zero that is not fast"
tell u fault on=zero,flag=fast,do=error,errno=ENOTSUP
python <<'END'
h = connect()
refused("fast zero", errno.ENOTSUP, h.zero, 4096, 0, nbd.CMD_FLAG_FAST_ZERO)
h.zero(4096, 0)
END
tell u clear

step "every third request fails, and only that one"
tell u fault on=read,every=3,do=error,errno=ENOMEM
python <<'END'
h = connect()
h.pwrite(pattern(65536), 0)
bad = 0
for i in range(60):
    try:
        check("content", h.pread(1000, i * 1000), pattern(65536)[i * 1000:]
              [:1000])
    except nbd.Error as e:
        check("errno", e.errno, "ENOMEM")
        bad += 1
check("how many failed", bad, 20)
END
