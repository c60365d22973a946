#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl push into a file always ends, and leaves no unfinished file: if a
# server hangs, or nobody reads what it says.  With nohup(1) it goes on.

. "$(dirname "$0")/../functions.sh"

ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control TMPDIR=$tmp XDG_RUNTIME_DIR=$tmp
serve size=8M control=control
python <<'END'
connect("a").pwrite(pattern(MiB), 0)
END

# ends PID STATUS: it ends with that status, and leaves nothing.
ends ()
{
  local i status=0
  for ((i = 0; i < 1200; i++)); do
    running "$1" || break
    pause 0.05
  done
  ! running "$1" || { kill -KILL "$1"; fail "it does not end"; }
  wait "$1" || status=$?
  check "status" "$status" "$2"
  [ ! -e new.raw ] || fail "a part of a file is left"
  ! ls -d mblockctl-* 2>/dev/null || fail "a folder is left"
}

# until_copying: a job copies.
until_copying ()
{
  local i
  for ((i = 0; i < 3000; i++)); do
    $ctl jobs >jobs
    ! grep -q copying jobs || return 0
    pause 0.02
  done
  fail "nothing copies: $(cat jobs)"
}

# End what a step has left.
cancel_jobs ()
{
  local job
  for job in $($ctl jobs | awk '/copying/ { print $1 }'); do
    $ctl jobs cancel "$job" >/dev/null
    $ctl jobs wait "$job" 2>/dev/null || :
  done
}

step "the file's server does not end"
mkdir bin
cat >bin/nbdkit <<'END'
#!/bin/bash
trap '' TERM
: >started
while kill -0 $PPID; do sleep 0.5; done
END
chmod +x bin/nbdkit
PATH=$tmp/bin:$PATH "$ctl" push a new.raw 2>err &
push=$!
for ((i = 0; i < 3000; i++)); do
  [ ! -e started ] || break
  pause 0.02
done
kill -INT "$push"
ends "$push" 1
check "what it says" "$(cat err)" "mblockctl: push: interrupted"

step "mblock's server hangs"
$ctl push a new.raw --rate 1 --timeout 5 2>err &
push=$!
until_copying
kill -STOP "$(cat s.pid)"
ends "$push" 3
kill -CONT "$(cat s.pid)"

step "mblock's server hangs, and it is interrupted twice"
cancel_jobs
$ctl push a new.raw --rate 1 --timeout 0 2>err &
push=$!
until_copying
kill -STOP "$(cat s.pid)"
kill -INT "$push"
pause 0.5
running "$push" || fail "the first signal ends it: $(cat err)"
kill -INT "$push"
ends "$push" 3
check "what it says" "$(cat err)" \
  "mblockctl: push: interrupted, and the server does not answer"
kill -CONT "$(cat s.pid)"

step "nobody reads what it says"
cancel_jobs
mkfifo pipe
$ctl push a new.raw --rate 1 2>pipe &
push=$!
: <pipe
until_copying
$ctl jobs cancel "$($ctl jobs | awk '/copying/ { print $1 }')" >/dev/null
ends "$push" 1

step "nohup"
(trap '' HUP; exec "$ctl" push a kept.raw --rate 400k 2>err) &
push=$!
until_copying
kill -HUP "$push"
wait "$push" || fail "$(cat err)"
[ -e kept.raw ] || fail "there is no file"
