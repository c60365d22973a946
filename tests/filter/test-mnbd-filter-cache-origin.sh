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
stop_server s
stop_server u

for cache in writethrough "writeback mnbd-cache-dirty-age=86400"; do
  step "what was not flushed goes to a server that comes back larger: $cache"
  volatile_server u --multi-conn --size=8388608
  # shellcheck disable=SC2086
  start_cache mnbd-reconnect=5 mnbd-cache=$cache
  cache <<'END'
h = connect()
h.pwrite(b"kept" * 1000, MiB)
h.shutdown()
gone()
END
  kill_child u
  truncate -s 16M u.img
  volatile_server u --multi-conn
  cache <<'END'
while size_of() != 16 * MiB:
    gone()
check("the origin", open("u.img", "rb").read()[MiB:][:4000], b"kept" * 1000)
h = connect()
check("read", h.pread(4000, MiB), b"kept" * 1000)
h.pwrite(b"last" * 1000, 2 * MiB)
END

  step "... when nbdkit ends, too"
  kill_child u
  truncate -s 24M u.img
  volatile_server u --multi-conn
  stop_server s
  kill_child u
  cache <<'END'
check("the origin", open("u.img", "rb").read()[2 * MiB:][:4000], b"last" * 1000)
END
  rm u.img
done
