#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# list --deleted shows each destroyed disk that is open, once, whatever the
# names of the disks and of their parents are.

. "${srcdir:-.}/tests/mblockctl.sh"
needs_server

nbdkit -f -U "$tmp/nbd" ./mramdisk.so 1M max-memory=64M control="$tmp/s" \
       2>"$tmp/log" &
pids+=($!)
export MBLOCK_SOCKET=$tmp/s
: > "$tmp/out"
status 0 wait-ready

# hold DISK ID: a client has it open.
hold () {
  held=$tmp/held-$2 nbdsh -u "nbd+unix:///$1?socket=$tmp/nbd" \
    -c 'import os, time' -c 'open(os.environ["held"], "w").close()' \
    -c 'time.sleep(3600)' &
  pids+=($!)
  local i
  for ((i = 0; i < 3000; i++)); do
    [ -e "$tmp/held-$2" ] && return
    sleep 0.02
  done
  echo "the client did not connect"
  exit 99
}

# None: for people a sentence, for programs nothing.
status 0 list --deleted
out_is 'No destroyed disk is open.'
for options in -H -n -0 -q; do
  status 0 list --deleted $options
  out_empty
  no_error
done

# Two destroyed disks have the same name, which is that of the second one's
# parent, too.
status 0 create vm
hold vm 1
status 0 snapshot vm vm@1
status 0 clone vm@1 vm --replace --force
hold vm 2
status 0 destroy vm --force
status 0 rename vm@1 vm
status 0 list --deleted --json
json '[(d["name"], d["parent"], d["parent_exists"]) for d in r["disks"]] == \
      [("vm", None, False), ("vm", "vm", True)]'
for options in '' --tree; do
  status 0 list --deleted $options --columns name,parent
  [ "$(grep -c '^vm  *\(-\|vm\)$' "$tmp/out")" = 2 ] ||
    wrong "expected two disks"
  out_has '2 destroyed disks own '
done
status 0 list --deleted -H --columns name,size
out_is $'vm\t1048576' $'vm\t1048576'

exit $rc
