#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Mirror and cache over several plugins, of each thread model, and with other
# filters above and below: what clients wrote is read back, is upstream, and is
# in the plugin where the mode says so.

. "$(dirname "$0")/../mirror-functions.sh"
requires_filter delay offset readahead blocksize noparallel

cat >use.py <<'END'
import random

def use(h, seed):
    """Requests of all kinds; returns what must be there then."""
    r = random.Random(seed)
    size = h.get_size()
    shadow = bytearray(h.pread(size, 0))
    for i in range(300):
        n = r.randrange(1, 1 + r.choice((600, 70000)))
        o = r.randrange(0, size - n + 1)
        kind = r.choice("wwwrrzt") if h.can_zero() else r.choice("wwr")
        if kind == "w":
            data = r.randbytes(n)
            h.pwrite(data, o, r.choice((0, 0, nbd.CMD_FLAG_FUA)))
            shadow[o:o + n] = data
        elif kind == "z":
            h.zero(n, o, r.choice((0, nbd.CMD_FLAG_NO_HOLE)))
            shadow[o:o + n] = bytes(n)
        elif kind == "t":
            # What is trimmed may be anything; so say what it is.
            h.trim(n, o)
            h.zero(n, o)
            shadow[o:o + n] = bytes(n)
        else:
            check("read %d of %d bytes at %d" % (i, n, o), h.pread(n, o),
                  shadow[o:o + n])
    h.flush()
    check("all", h.pread(size, 0), shadow)
    return shadow
END

# A secondary or an origin with something in it.
upstream ()
{
  start_server u "$mramdisk" size=4M "$@"
  python <<'END'
connect(server="u").pwrite(pattern(1 * MiB), 777777)
END
}

# try WHAT ARGUMENTS…, in which FILTER stands for ours; once in each mode.
try ()
{
  local what=$1 a arguments=() mode
  shift
  for a; do
    [ "$a" != FILTER ] || a=--filter=$filter
    arguments+=("$a")
  done
  for mode in mirror cache; do
    step "$mode $what"
    upstream
    start_server s "${arguments[@]}" mnbd-socket="$tmp/u.sock" \
      mnbd-mode=$mode mnbd-control=control
    export mode
    mirror <<'END'
exec(open("use.py").read())
if os.environ["mode"] == "mirror":
    synchronised()
a, b = connect(), connect()
check("multi-conn", a.can_multi_conn(), True)
shadow = use(a, 1)
check("another client", b.pread(len(shadow), 0), shadow)
check("the upstream", connect(server="u").pread(len(shadow), 0), shadow)
if os.environ["mode"] == "mirror":
    synchronised()
    check("compared", verify()["bytes_differing"], 0)
END
    stop_server s
    stop_server u
  done
}

try "over mramdisk" FILTER "$mramdisk" size=4M
try "over memory" FILTER memory 4M
truncate -s 4M image
try "over file" FILTER file "$tmp/image"
start_server v "$mramdisk" size=4M
try "over mnbd" FILTER "$builddir/mnbd.so" socket="$tmp/v.sock"
for model in all-requests requests; do
  try "over a plugin that serializes $model" FILTER --filter=noparallel \
    "$mramdisk" size=4M serialize=$model
done
try "over offset and delay" FILTER --filter=offset --filter=delay \
  "$mramdisk" size=5M range=4M offset=1M rdelay=1ms wdelay=1ms
try "under readahead" --filter=readahead FILTER "$mramdisk" size=4M
try "under blocksize" --filter=blocksize FILTER "$mramdisk" size=4M \
  minblock=4096
