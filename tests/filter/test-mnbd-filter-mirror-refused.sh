#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sides that make no pair, and parameters that make no sense: one clear line.

. "$(dirname "$0")/../mirror-functions.sh"

start_server u "$mramdisk" size=8M
start_server r -r "$mramdisk" size=8M

step "unequal sizes"
pair_refused "the secondary's size is 8388608 bytes, expected the primary's,\
 8388096" "$mramdisk" size=8388096 mnbd="$(sock_of u)" mnbd-mode=mirror

step "a secondary that is read-only"
pair_refused "the secondary is read-only: expected a writable disk" \
  "$mramdisk" size=8M mnbd="$(sock_of r)" mnbd-mode=mirror

step "a primary that is read-only"
pair_refused "the primary is read-only: expected a writable disk" \
  "$mramdisk" disk=,size=8M,readonly=yes mnbd="$(sock_of u)" mnbd-mode=mirror

step "a size that the secondary's blocks do not divide"
start_server b --filter=blocksize-policy null 1000000 \
  blocksize-minimum=512 blocksize-preferred=4096 blocksize-maximum=1M
pair_refused "the size is 1000000 bytes, expected a multiple of the \
secondary's minimum block size, 512" "$mramdisk" size=1000000 \
  mnbd="$(sock_of b)" mnbd-mode=mirror

step "no server"
pair_refused "$tmp/nobody.sock" "$mramdisk" size=8M \
  mnbd-socket="$tmp/nobody.sock" mnbd-mode=mirror

step "parameters"
refused_value ()
{
  filter_refused "$1: expected $2" "$mramdisk" size=8M mnbd="$(sock_of u)" \
    mnbd-mode=mirror "$1"
}
refused_value mnbd-rate=fast "bytes per second, such as 100M"
refused_value mnbd-rate=0 "bytes per second, such as 100M"
refused_value mnbd-rate=-1 "bytes per second, such as 100M"
refused_value mnbd-on-error=panic "continue or fail"
refused_value mnbd-on-error= "continue or fail"
refused_value mnbd-start=soon "true or false"
filter_refused "mnbd-rate=1M: expected mnbd-mode=mirror as well" \
  "$mramdisk" size=8M mnbd="$(sock_of u)" mnbd-mode=forward mnbd-rate=1M

step "with names, the client is refused, and others are not"
start_server n "$mramdisk" size=8M disk=good,size=1M disk=bad,size=2M
start_server s --filter="$filter" "$mramdisk" size=8M disk=good,size=1M \
  disk=bad,size=1M mnbd-socket="$tmp/n.sock" mnbd-mode=mirror \
  mnbd-dynamic-export=true mnbd-exports='*' mnbd-control=control
mirror <<'END'
refused("other sizes", None, connect, "bad")
h = connect("good")
synchronised()
h.pwrite(b"x", 0)
check("there", bytes(connect("good", server="n").pread(1, 0)), b"x")
END
grep -qF "the secondary's size is 2097152 bytes, expected the primary's, \
1048576" s.log || fail "the log does not say why"
