#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The filter over several plugins, and with other filters above and below it:
# the exports that it does not concern are served as without it.

. "$(dirname "$0")/../filter-functions.sh"
requires_filter cow delay offset readahead blocksize stats

start_server u "$mramdisk" size=8M
truncate -s 4M image

# try WHAT ARGUMENTS…: export "near" of a server of 4 MiB, and "far" of 8.
try ()
{
  local what=$1 a arguments=()
  shift
  step "$what"
  for a; do
    [ "$a" != FILTER ] || a=--filter=$filter
    arguments+=("$a")
  done
  start_server s "${arguments[@]}" mnbd-socket="$tmp/u.sock" \
    mnbd-mode=forward mnbd-exports=far
  python <<'END'
def use(name, size):
    h = connect(name)
    check("size", h.get_size(), size)
    data = bytearray(os.urandom(10 * PAGE))
    h.pwrite(data, 3 * PAGE)
    # cow has no zero, and its trim is none.
    if h.can_zero():
        h.zero(PAGE, 4 * PAGE)
        data[PAGE:2 * PAGE] = bytes(PAGE)
        h.trim(PAGE, 5 * PAGE)
        data[2 * PAGE:3 * PAGE] = bytes(PAGE)
    h.flush()
    check(name, h.pread(10 * PAGE, 3 * PAGE), data)
    check(name, h.pread(PAGE, size - PAGE), bytes(PAGE))
    if h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION):
        check("extents", sum(n for n, what in extents(h)), size)
use("near", 4 * MiB)
use("far", 8 * MiB)
END
  stop_server s
}

try "over mramdisk" FILTER "$mramdisk" size=4M
try "over memory" FILTER memory 4M
try "over file" FILTER file "$tmp/image"
start_server v "$mramdisk" size=4M
try "over mnbd" FILTER "$builddir/mnbd.so" socket="$tmp/v.sock"
try "under cow" --filter=cow FILTER "$mramdisk" size=4M
try "under readahead, delay and stats" --filter=readahead --filter=delay \
  --filter=stats FILTER "$mramdisk" size=4M rdelay=1ms statsfile="$tmp/stats"
try "over offset and delay" FILTER --filter=offset --filter=delay \
  "$mramdisk" size=5M offset=1M wdelay=1ms
try "over and under blocksize" --filter=blocksize FILTER "$mramdisk" size=4M \
  minblock=4096
