#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An origin that is resized: connected clients keep what they were promised;
# without clients, the next one gets the origin's new size, and nothing that was
# written is lost.

. "$(dirname "$0")/../cache-functions.sh"

origin ()
{
  "$builddir/mblockctl" -q -s "$tmp/origin" "$@"
}
export -f origin
export builddir

cat >use.py <<'END'
import subprocess


def origin(*words):
    subprocess.run(["bash", "-c", 'origin "$@"', "-", *words], check=True)


def gone():
    """nbdkit takes a moment to see that a client has gone."""
    time.sleep(0.3)


def size_of():
    h = connect()
    size = h.get_size()
    h.shutdown()
    return size
END
cache ()
{
  nbdsh -c 'import os, signal, time' -c 'from nbdtest import *' \
    -c 'exec(open("use.py").read())' -c -
}

beneath=("$mramdisk" size=32M)
for cache in writethrough "writeback mnbd-cache-dirty-age=86400"; do
  step "grown and shrunk: $cache"
  start_server u "$mramdisk" size=8M disk= control="$tmp/origin"
  # shellcheck disable=SC2086
  start_cache mnbd-cache=$cache
  cache <<'END'
a = connect()
a.pwrite(b"a" * 100000, MiB)
check("read", a.pread(3, MiB), b"aaa")
origin("resize", "--force", "", "16M")
b = connect()
check("with a client", b.get_size(), 8 * MiB)
b.pwrite(b"b" * 100000, 2 * MiB)
for h in a, b:
    h.shutdown()
while size_of() != 16 * MiB:
    gone()
c = connect()
check("what was written", c.pread(100000, MiB), b"a" * 100000)
check("by both", c.pread(100000, 2 * MiB), b"b" * 100000)
check("the new part", c.pread(100000, 12 * MiB), bytes(100000))
c.pwrite(b"c" * 100000, 12 * MiB)
c.flush()
c.shutdown()
check("the origin", connect(server="u").pread(3, 12 * MiB), b"ccc")
origin("resize", "--force", "", "4M")
while size_of() != 4 * MiB:
    gone()
d = connect()
check("what is left", d.pread(100000, 2 * MiB), b"b" * 100000)
END
  stop_server s
  stop_server u
done

step "larger than the plugin's disk"
beneath=("$mramdisk" size=8M disk= control="$tmp/plugin")
start_server u "$mramdisk" size=8M disk= control="$tmp/origin"
start_cache
cache <<'END'
h = connect()
h.pwrite(b"x", 0)
h.shutdown()
origin("resize", "--force", "", "16M")
gone()
while True:
    try:
        connect().shutdown()
        gone()
    except nbd.Error:
        break
END
grep -qF 'the plugin has 8388608 bytes, but the upstream has 16777216' s.log ||
  fail "$(cat s.log)"
check "the status is there" "$(cache_stat size)" 16777216
"$builddir/mblockctl" -q -s "$tmp/plugin" resize '' 16M
cache <<'END'
check("now", size_of(), 16 * MiB)
h = connect()
check("read", h.pread(1, 0), b"x")
END
stop_server s
stop_server u

step "a server that comes back with another size"
beneath=("$mramdisk" size=32M)
start_server u "$mramdisk" size=8M
# The cache's own connection waits for nobody, nor do the next clients.
start_cache mnbd-reconnect=3600
cache <<'END'
h = connect()
check("read", h.pread(1, 0), bytes(1))
h.shutdown()
END
crash_server u
start_server u "$mramdisk" size=16M
cache <<'END'
signal.alarm(60)
while size_of() != 16 * MiB:
    gone()
h = connect()
h.pwrite(b"new", 12 * MiB)
h.flush()
check("the origin", connect(server="u").pread(3, 12 * MiB), b"new")
END

step "... while it is read ahead"
cache <<'END'
h = connect()
h.pread(65536, 0)
os.kill(int(open("u.pid").read()), signal.SIGSTOP)
h.aio_pread(nbd.Buffer(65536), 65536)
gone()
END
crash_server u
start_server u "$mramdisk" size=24M
cache <<'END'
signal.alarm(60)
while size_of() != 24 * MiB:
    gone()
END
