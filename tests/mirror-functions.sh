# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the mirror use beyond filter-functions.sh.  To be sourced by
# bash.

. "$(dirname "${BASH_SOURCE[0]}")/filter-functions.sh"

# start_mirror PLUGIN-ARGUMENTS…: the server s mirrors to the server u on a Unix
# socket, with a control socket.  The machine may be busy, so that a request
# takes seconds: unless the test says how long one may, that loses no secondary.
start_mirror ()
{
  local more=()
  [[ " $*" = *" mnbd-max-stall="* ]] || more=(mnbd-max-stall=100)
  start_server s --filter="$filter" "$@" "${more[@]}" \
    mnbd-socket="$tmp/u.sock" mnbd-mode=mirror mnbd-control=control
}

# mirror: standard input in nbdsh, with what mirrortest.py has.
mirror ()
{
  nbdsh -c 'import os, time' -c 'from nbdtest import *' \
    -c 'from mirrortest import *' -c -
}

# mirror_state: print it.
mirror_state ()
{
  "$builddir/mblockctl" -s "$tmp/control" call mirror_status |
    sed -n 's/.*"state": "\([a-z]*\)".*/\1/p'
}

mirror_is ()
{
  [ "$(mirror_state)" = "$1" ]
}

# wait_mirror STATE
wait_mirror ()
{
  wait_for "the mirror says \"$1\", but: $(mirror_state)" mirror_is "$1"
}

# synchronised_and_same: wait for it, and compare both sides in full.
synchronised_and_same ()
{
  mirror <<'END'
synchronised()
same()
END
}
