#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Zeroes of more than 64 MiB, where nbdkit or mnbd has to write them. nbdkit
# before 1.44 repeatedly zeroes the first 64 MiB instead if the plugin cannot
# zero.  That must not happen, whether this plugin is mnbd, or beneath the
# filter, or that of an upstream.

. "$(dirname "$0")/../filter-functions.sh"
nbdkit eval --dump-plugin >/dev/null 2>&1 ||
  skip "nbdkit's plugin eval is not installed"

# eval_plugin ID KIND: sets the array $eval: a plugin and its parameters, that
# serves the new file ID.img and has no zero (none), or one that fails with
# ENOTSUP (refused).
size=$((72 << 20))
eval_plugin ()
{
  local id=$1
  rm -f "$id.img"
  truncate -s $size "$id.img"
  eval=(eval get_size="echo $size" can_write='exit 0' can_flush='exit 0'
        thread_model='echo parallel' flush='exit 0'
        pread="dd if='$tmp/$id.img' iflag=skip_bytes,count_bytes skip=\$4 \
count=\$3 status=none bs=1M"
        pwrite="dd of='$tmp/$id.img' oflag=seek_bytes conv=notrunc seek=\$4 \
iflag=fullblock status=none bs=1M")
  [ "$2" = none ] ||
    eval+=(can_zero='exit 0' zero='echo ENOTSUP >&2; exit 1')
}

# A client fills the disk here and there, and zeroes nearly all of it at once.
# Its marks lie in each 64 MiB and at both ends.
zero_most ()
{
  python <<'END'
h = connect()
size = h.get_size()
marks = [0, PAGE, 10 * MiB, 63 * MiB, 64 * MiB, 65 * MiB, size - 2 * PAGE,
         size - PAGE]
for m in marks:
    h.pwrite(pattern(PAGE, m // PAGE + 1), m)
check("it can zero", h.can_zero(), True)
h.zero(size - 2 * PAGE, PAGE)
for m in marks:
    kept = m in (0, size - PAGE)
    check("at %d, of the client's" % m, h.pread(PAGE, m),
          pattern(PAGE, m // PAGE + 1) if kept else bytes(PAGE))
h.flush()
END
}

# holds FILE: it has what was not zeroed, and zeros between.
python <<'END'
size = 72 * MiB
with open("expected", "wb") as f:
    f.truncate(size)
    for m in 0, size - PAGE:
        f.seek(m)
        f.write(pattern(PAGE, m // PAGE + 1))
END
holds ()
{
  cmp expected "$1" || fail "$1 differs from what was written and zeroed"
}

for kind in none refused; do
  step "mnbd, and the upstream's zero is $kind"
  eval_plugin u $kind
  start_server u "${eval[@]}"
  start_forwarder socket="$tmp/u.sock"
  zero_most
  stop_server s
  holds u.img

  step "forward, and the upstream's zero is $kind"
  eval_plugin u $kind
  start_server s --filter="$filter" "$mramdisk" size=1M mnbd-mode=forward \
    mnbd-socket="$tmp/u.sock"
  zero_most
  stop_server s
  holds u.img
  stop_server u

  step "an export of the plugin beneath the filter, whose zero is $kind"
  start_server u "$mramdisk" disk=other,size=1M
  eval_plugin s $kind
  start_server s --filter="$filter" "${eval[@]}" mnbd-mode=forward \
    mnbd-socket="$tmp/u.sock" mnbd-exports=other
  zero_most
  stop_server s
  holds s.img
  stop_server u

  step "mirror, of a plugin and to an upstream whose zeroes are $kind"
  eval_plugin u $kind
  start_server u "${eval[@]}"
  eval_plugin s $kind
  start_server s --filter="$filter" "${eval[@]}" mnbd-mode=mirror \
    mnbd-socket="$tmp/u.sock" mnbd-control="$tmp/control"
  synchronised ()
  {
    "$builddir/mblockctl" -s "$tmp/control" call mirror_status |
      grep -q '"state": "synchronised"'
  }
  wait_for "the mirror" synchronised
  zero_most
  stop_server s
  stop_server u
  holds s.img
  holds u.img

  for mode in writethrough writeback; do
    step "cache $mode, over a plugin and of an upstream whose zeroes are $kind"
    eval_plugin u $kind
    start_server u "${eval[@]}"
    eval_plugin s $kind
    start_server s --filter="$filter" "${eval[@]}" mnbd-mode=cache \
      mnbd-socket="$tmp/u.sock" mnbd-cache=$mode
    zero_most
    stop_server s
    stop_server u
    holds u.img
  done
done

step "an upstream that offers to zero and answers ENOTSUP"
fault_server u --set size=$size --fault on=zero,do=error,errno=ENOTSUP
start_forwarder socket="$tmp/u.sock"
zero_most
end_fault_server u
stop_server s
fault_server u --set size=$size --fault on=zero,do=error,errno=ENOTSUP,after=1
start_forwarder socket="$tmp/u.sock"
python <<'END'
h = connect()
h.pwrite(b"x", 70 * MiB)
# After the first 64 MiB this is no answer any more.
h.zero(72 * MiB, 0, nbd.CMD_FLAG_FAST_ZERO)
check("the rest", h.pread(1, 70 * MiB), b"\0")
refused("not fast at all", errno.ENOTSUP, h.zero, 72 * MiB, 0,
        nbd.CMD_FLAG_FAST_ZERO)
END
stop_server s
