#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The client is offered what the upstream offers.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

fault_server u
start_forwarder socket="$tmp/u.sock"
cat >ask <<'END'
def ask(server):
    h = connect(server=server)
    return dict((n, getattr(h, n)()) for n in (
        "get_size", "is_read_only", "can_flush", "can_fua", "can_trim",
        "can_zero", "can_fast_zero", "can_cache", "is_rotational"))
END
both ()
{
  { cat ask; cat <<'END'
got, expected = ask("s"), ask("u")
# nbdkit's server emulates what is not there with other requests.
for n in "can_fua", "can_cache", "can_zero", "can_fast_zero":
    if not expected[n]:
        got[n] = None
        expected[n] = None
# Of a read-only export it offers no way to write.
if expected["is_read_only"]:
    for n in "can_fua", "can_trim", "can_zero", "can_fast_zero":
        got[n] = expected[n] = None
check("what is offered", got, expected)
END
  } | python
}
for set in size=16M size=1234567 size=3G readonly=yes readonly=no,flush=no \
           flush=yes,fua=no fua=yes,trim=no trim=yes,zero=no \
           zero=yes,fast_zero=no fast_zero=yes,cache=no \
           cache=yes,rotational=yes rotational=no; do
  step "$set"
  tell u set "$set"
  # A pool knows the server from before; this is about what it learns first.
  stop_server s
  start_forwarder socket="$tmp/u.sock"
  both
done
