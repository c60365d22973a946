#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A secondary that dies again and again, with what it had not flushed, while a
# shadow client checks every byte: it notices nothing, and in the end both sides
# are the same.

. "$(dirname "$0")/../mirror-functions.sh"

size=2097152

# storm WHAT SHADOW-ARGUMENTS…, with $options for the server, and $filters
# and $extra for the primary.
filters=() extra=()
storm ()
{
  local what=$1 i
  shift
  volatile_server u --size=$size $options
  start_mirror "${filters[@]}" "$mramdisk" size=$size "${extra[@]}" \
    mnbd-connections=3
  start_shadow --trim-zeroes "$@" "$(uri)"
  for ((i = 0; i < outages; i++)); do
    moment
    shadow_runs || break
    outage "$what" --size=$size $options
    # So that it dies in steady state, too.
    [ $((i % 4)) != 0 ] || wait_mirror synchronised
  done
  shadow_passed
  mirror <<'END'
h = connect()
h.flush()
s = synchronised()
check("outages", s["outages"] > 0, True)
same()
v = verify()
check("verify", (v["bytes_differing"], v["error"]), (0, None))
check("consistent", control.call("mirror_stop")["consistent"], True)
END
  # What the secondary promised is in its file.
  kill_child u
  nbdsh -u "$(uri)" -c '
if bytes(h.pread(h.get_size(), 0)) != open("u.img", "rb").read():
    raise SystemExit("FAIL: the file of the secondary differs")'
  stop_server s
  rm u.img
}

storms "" "--multi-conn --writeback=4"
step "without FUA, long requests"
options="--no-fua --writeback=3"
storm KILL --connections=2 --max-length=262144

requires_filter noparallel
for model in all-requests requests; do
  step "a primary that takes one request at a time: $model"
  filters=(--filter=noparallel) extra=(serialize=$model)
  options=
  storm KILL --connections=3
done
