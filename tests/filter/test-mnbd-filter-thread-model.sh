#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The filter keeps the thread model of what is beneath it, and lets the other
# exports use it as before.

. "$(dirname "$0")/../filter-functions.sh"
requires_filter noparallel
requires_fio

start_server u "$mramdisk" size=8M
for model in all-requests requests; do
  step "serialize=$model"
  start_server s -v --filter="$filter" --filter=noparallel "$mramdisk" size=8M \
    serialize=$model mnbd-socket="$tmp/u.sock" mnbd-mode=forward \
    mnbd-exports=far
  grep -q "using thread model: serialize_${model/-/_}" s.log ||
    fail "$(grep 'thread model' s.log)"
  fio --name=x --ioengine=nbd --rw=randrw --bs=4k --iodepth=8 --numjobs=2 \
    --size=8M --io_size=4M --uri="$(uri near)" >out 2>&1 || fail "$(cat out)"
  fio --name=x --ioengine=nbd --rw=randrw --bs=4k --iodepth=8 --numjobs=2 \
    --size=8M --io_size=4M --uri="$(uri far)" >out 2>&1 || fail "$(cat out)"
  stop_server s
done

step "parallel, which is what the filter itself is"
start_server s -v --filter="$filter" "$mramdisk" size=8M \
  mnbd-socket="$tmp/u.sock" mnbd-mode=forward
grep -q 'using thread model: parallel' s.log || fail "it is not parallel"
