# SPDX-License-Identifier: BSD-3-Clause
# What the tests of mnbd use beyond functions.sh.  To be sourced by bash.
#
# PLUGIN=nbd runs a test against nbdkit's own plugin instead of mnbd.so; the
# tests of what both promise run with both unless PLUGIN says which.
# PLUGIN=filter runs it against mnbd-filter.so that forwards.
# MBLOCK_TEST_SECONDS is how long the tests under load go on, and
# MBLOCK_TEST_OUTAGES how many outages they make.

# A test that hangs must fail.  timeout ends all that it started, too.
if [ -z "$MBLOCK_TIMED" ]; then
  export MBLOCK_TIMED=1
  exec timeout -k 20 "$((240 + 2 * ${MBLOCK_TEST_SECONDS:-0} +
                         ${MBLOCK_TEST_OUTAGES:-0}))" "$BASH" "$0" "$@"
fi

. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

plugin=${PLUGIN:-$builddir/mnbd.so}
seconds=${MBLOCK_TEST_SECONDS:-5}
outages=${MBLOCK_TEST_OUTAGES:-20}
filter=$builddir/mnbd-filter.so
case $plugin in
  filter)
    if ! [ -e "$filter" ]; then
      echo "FAIL: $filter does not exist; run make first" >&2
      exit 99
    fi;;
  */*)
    if ! [ -e "$plugin" ]; then
      echo "FAIL: $plugin does not exist; run make first" >&2
      exit 99
    fi;;
  *)
    nbdkit "$plugin" --dump-plugin >/dev/null 2>&1 ||
      skip "nbdkit's plugin $plugin is not installed";;
esac

# The test holds for nbdkit's nbd plugin too: run it once with each.
both_plugins ()
{
  [ -z "$PLUGIN" ] || return 0
  local p
  for p in nbd "$builddir/mnbd.so"; do
    echo "with $p:"
    PLUGIN=$p "$BASH" "$testdir/${0##*/}" || fail "with $p"
  done
  exit 0
}

# The test is of something that only mnbd promises.
only_mnbd ()
{
  [ "$plugin" != nbd ] || skip "nbdkit's nbd plugin does not promise this"
}

# crash_server ID: SIGKILL for a server that start_server started.
crash_server ()
{
  local id=$1 i left=()
  child crashing "$(cat "$id.pid")"
  kill_child crashing
  for i in "${servers[@]}"; do
    [ "$i" = "$id" ] || left+=("$i")
  done
  servers=("${left[@]}")
  rm -f "$id.pid" "$id.sock"
}

# forwarder PARAMETERS…: sets the array $forwarder: nbdkit's arguments for mnbd
# with these parameters.  What is no parameter is nbdkit's.
forwarder ()
{
  if [ "$plugin" != filter ]; then
    forwarder=("$plugin" "$@")
    return
  fi
  local a first=()
  forwarder=("$mramdisk" mnbd-mode=forward)
  for a; do
    case $a in
      --filter=*) first+=("$a");;
      mnbd.* | minblock=*) forwarder+=("$a");; # after -D; of a filter
      uri=*) forwarder+=("mnbd-$a");;
      *://*) forwarder+=("mnbd=$a");;
      [a-z]*=*) forwarder+=("mnbd-$a");;
      *) forwarder+=("$a");;
    esac
  done
  forwarder=("${first[@]}" --filter="$filter" "${forwarder[@]}")
}

# start_forwarder PARAMETERS…: mnbd on the socket $sock, as "s".
start_forwarder ()
{
  forwarder "$@"
  start_server s "${forwarder[@]}"
}

# try_forwarder PARAMETERS…: ask a forwarder with these for the size, which is
# then in $tmp/out, and end it.  Sets $rc: 0 if the client was let in.
try_forwarder ()
{
  start_forwarder "$@"
  rc=0
  timeout 60 nbdinfo --size "$(uri)" >out 2>&1 || rc=$?
  [ $rc -ne 124 ] || fail "$*: it hangs"
  stop_server s
}

# wait_for WHAT COMMAND…: until it succeeds, which must be within 30 seconds.
wait_for ()
{
  local what=$1 i
  shift
  for ((i = 0; i < 1500; i++)); do
    "$@" && return
    sleep 0.02
  done
  fail "$what: not within 30 seconds"
}

# What this test has started besides nbdkit: name and pid.  A pid is forgotten
# as soon as it was waited for, because the next process may have it.
declare -A children=()

# child NAME PID: from now on end_child and kill_child can end it, and the end
# of the test does.
child ()
{
  children[$1]=$2
}

# end_child NAME [SIGNAL]: sets $child_rc.
end_child ()
{
  local pid=${children[$1]}
  child_rc=0
  [ -n "$pid" ] || return 0
  unset "children[$1]"
  kill -"${2:-TERM}" "$pid" 2>/dev/null || :
  # The braces hide bash's remark about a SIGKILL.
  { wait "$pid"; } 2>/dev/null || child_rc=$?
}

# kill_child NAME: as a crash would.
kill_child ()
{
  end_child "$1" KILL
}

end_children ()
{
  local name
  for name in "${!children[@]}"; do
    end_child "$name"
  done
}
at_exit end_children

# fault_server ID ARGUMENTS…: nbd-fault-server.py on $tmp/ID.sock; its log is
# $tmp/ID.jsonl, and "tell ID COMMAND" reaches its control socket; end_child ID
# or end_fault_server ID ends it.
fault_server ()
{
  local id=$1
  shift
  /usr/bin/python3 "$testdir/nbd-fault-server.py" --unix "$tmp/$id.sock" \
    --control "$tmp/$id.ctl" --log "$tmp/$id.jsonl" "$@" 2>"$id.err" &
  child "$id" $!
  wait_for "the start of the fault server: $(cat "$id.err")" [ -S "$id.ctl" ]
}

end_fault_server ()
{
  end_child "$1"
  rm -f "$1.sock" "$1.ctl" "$1.jsonl"
}

tell ()
{
  /usr/bin/python3 "$testdir/nbd-fault-server.py" --tell "$tmp/$1.ctl" \
    "${@:2}" >told || fail "tell $*: $(cat told)"
}

# requests ID [CMD…]: print what requests the fault server has got, in order,
# one a line: CMD OFFSET LENGTH FLAGS.
requests ()
{
  /usr/bin/python3 - "$tmp/$1.jsonl" "${@:2}" <<'END'
import json
import sys

for line in open(sys.argv[1]):
    r = json.loads(line)
    if r["event"] == "request" and (not sys.argv[2:]
                                    or r["cmd"] in sys.argv[2:]):
        print(r["cmd"], r["offset"], r["length"], ",".join(r["flags"]))
END
}

# volatile_server ID ARGUMENTS…: nbd-volatile-server on $tmp/ID.sock, with the
# file $tmp/ID.img.  Sets $volatile_pid; kill_child ID makes it crash.
volatile_server ()
{
  local id=$1
  shift
  rm -f "$id.vpid"
  "$builddir/tests/nbd-volatile-server" --unix="$tmp/$id.sock" \
    --image="$tmp/$id.img" --pidfile="$tmp/$id.vpid" "$@" 2>>"$id.err" &
  volatile_pid=$!
  child "$id" $volatile_pid
  wait_for "the start of the volatile server" [ -s "$id.vpid" ]
}

shadow=$builddir/tests/nbd-shadow

# start_shadow ARGUMENTS…: run nbd-shadow in the background; it is at work when
# this returns, until end_shadow.  Sets $shadow_pid.
start_shadow ()
{
  rm -f shadow.ready
  "$shadow" --seconds=$((seconds * 2 + outages * 2 + 60)) \
    --ready="$tmp/shadow.ready" "$@" >shadow.out 2>&1 &
  shadow_pid=$!
  child shadow $shadow_pid
  wait_for "the start of the shadow client" shadow_runs_or_failed
}

shadow_runs_or_failed ()
{
  [ -e shadow.ready ] || ! kill -0 "$shadow_pid" 2>/dev/null
}

# end_shadow: sets $shadow_rc; its output is in $tmp/shadow.out.
end_shadow ()
{
  end_child shadow
  shadow_rc=$child_rc
}

shadow_runs ()
{
  kill -0 "$shadow_pid" 2>/dev/null
}

# shadow_passed: end it; it must have found nothing wrong.
shadow_passed ()
{
  end_shadow
  cat shadow.out
  check "status of the shadow client" $shadow_rc 0
}

# outage SIGNAL SERVER-ARGUMENTS…: make one of the volatile server u, which has
# these arguments: with KILL it crashes and is started again a moment later,
# USR1 is a power cut that is over at once, and USR2 drops its connections.
outage ()
{
  local what=$1
  shift
  if [ "$what" = KILL ]; then
    kill_child u
    moment
    volatile_server u "$@"
  else
    kill -"$what" "$volatile_pid"
  fi
}

# moment: 10 to 99 ms.
moment ()
{
  sleep 0.0$((RANDOM % 90 + 10))
}

# restart_upstream: server u crashes, and the test's function "upstream" starts
# it again.
restart_upstream ()
{
  crash_server u
  sleep 0.2
  upstream
}

# run_fio COMMAND…: run fio with verify on server s for $seconds, which must see
# no error, and meanwhile the command about once a second.  Sets $fio_rounds to
# how often that was.  Each job has one block size: with random ones fio 3.33
# misses its own blocks, on a server that nobody kills and without mnbd just as
# well.
run_fio ()
{
  local rc=0 fio_pid
  rm -f ./*.prerun.txt
  cat >job <<END
[global]
ioengine=nbd
uri=$(uri)
size=8m
iodepth=16
verify=crc32c
verify_fatal=1
time_based
runtime=$seconds
exec_prerun=true
[small]
rw=randrw
bs=4k
[flushing]
rw=randwrite
bs=16k
offset=16m
fsync=64
[large]
rw=write
bs=256k
offset=32m
END
  fio --output=out job &
  fio_pid=$!
  child fio $fio_pid
  # A first connect is not tried again, so no job may still be at it.
  wait_for "the start of fio" fio_at_work_or_failed $fio_pid
  fio_rounds=0
  while sleep 0.8; kill -0 $fio_pid 2>/dev/null; do
    "$@"
    fio_rounds=$((fio_rounds + 1))
  done
  wait $fio_pid || rc=$?
  unset "children[fio]"
  [ $rc -eq 0 ] || fail "fio, after $fio_rounds times $*: $(cat out)"
  check "jobs without errors" "$(grep -c 'err= 0' out)" 3
}

# fio_at_work_or_failed PID: each job has run its exec_prerun, for which fio
# makes a file, and which comes after its connect.
fio_at_work_or_failed ()
{
  { [ -e small.prerun.txt ] && [ -e flushing.prerun.txt ] &&
      [ -e large.prerun.txt ]; } || ! kill -0 "$1" 2>/dev/null
}

# run_fio_restarting: run_fio while the upstream is killed and restarted.
run_fio_restarting ()
{
  run_fio restart_upstream
  echo "$fio_rounds restarts"
  [ $fio_rounds -ge 2 ] || fail "fio ended too early: $(cat out)"
}

# python: as in functions.sh, with what mnbdtest.py has, too.
python ()
{
  nbdsh -c 'from nbdtest import *' -c 'from mnbdtest import *' -c -
}

# Threads and open files of the forwarder, to see that none is left behind.
forwarder_threads ()
{
  local -a tasks=(/proc/"$(cat s.pid)"/task/*)
  echo ${#tasks[@]}
}

forwarder_files ()
{
  local -a files=(/proc/"$(cat s.pid)"/fd/*)
  echo ${#files[@]}
}
