# SPDX-License-Identifier: BSD-3-Clause
# What the tests of mnbd use beyond functions.sh.  To be sourced by bash.
#
# PLUGIN=nbd runs a test against nbdkit's own plugin instead of mnbd.so; tests
# of what both promise run with both, unless PLUGIN says which.  PLUGIN=filter
# runs it against mnbd-filter.so in mode forward.  MBLOCK_TEST_SECONDS is the
# duration of tests under load, and MBLOCK_TEST_OUTAGES the number of outages in
# them.

# A test that hangs must fail. timeout ends all its processes, too.
if [ -z "$MBLOCK_TIMED" ]; then
  export MBLOCK_TIMED=1
  exec timeout -k 20 "$((900 + 2 * ${MBLOCK_TEST_SECONDS:-0} +
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

# The test applies to nbdkit's nbd plugin too: run it once with each.
both_plugins ()
{
  [ -z "$PLUGIN" ] || return 0
  local p
  for p in nbd "$builddir/mnbd.so"; do
    echo "with $p:"
    PLUGIN=$p "$BASH" "$self" || fail "with $p"
  done
  exit 0
}

# The test applies only to mnbd.
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

# forwarder PARAMETERS…: set the array $forwarder to nbdkit's arguments for mnbd
# with these parameters.  Anything that is not a parameter is an argument of
# nbdkit.
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
      mnbd.* | minblock=* | retries=* | retry-*) # after -D; of a filter
        forwarder+=("$a");;
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

# try_forwarder PARAMETERS…: ask a forwarder with these parameters for the size,
# which is then in $tmp/out, and end it.  Sets $rc: 0 if the client was
# admitted.
try_forwarder ()
{
  start_forwarder "$@"
  rc=0
  timeout 60 nbdinfo --size "$(uri)" >out 2>&1 || rc=$?
  [ $rc -ne 124 ] || fail "$*: it hangs"
  stop_server s
}

# forwards SIZE PARAMETERS…: a forwarder with these reaches a disk of that size,
# which can be written and read.
forwards ()
{
  local size=$1
  shift
  step "$*"
  start_forwarder "$@"
  check "size" "$(timeout 60 nbdinfo --size "$(uri)" 2>&1)" "$size"
  python <<'END'
h = connect()
h.pwrite(pattern(300000), 777)
h.flush()
check("content", h.pread(300000, 777), pattern(300000))
END
  stop_server s
}

# wait_for WHAT COMMAND…: until it succeeds, which must be within two minutes.
wait_for ()
{
  local what=$1 i
  shift
  for ((i = 0; i < 1300; i++)); do
    "$@" && return
    # What takes long is not looked at so often: the others have work to do.
    if [ $i -lt 20 ]; then pause 0.02; else pause 0.1; fi
  done
  fail "$what: not within two minutes"
}

# The processes that this test has started besides nbdkit: name and pid.  A pid
# is removed as soon as it was waited for, because the kernel may reuse it.
declare -A children=()

# child NAME PID: from now on, end_child and kill_child can end it, and the end
# of the test does so.
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

# fault_server ID ARGUMENTS…: start nbd-fault-server.py on $tmp/ID.sock.  Its
# log is $tmp/ID.jsonl; "tell ID COMMAND" sends to its control socket; end_child
# ID or end_fault_server ID ends it.
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
  /usr/bin/python3 -I -S "$testdir/tell.py" "$tmp/$1.ctl" "${@:2}" >told ||
    fail "tell $*: $(cat told)"
}

# requests ID [CMD…]: print the requests that the fault server has received, in
# order, one a line: CMD OFFSET LENGTH FLAGS.
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

# freeze PID: stop a process until SIGCONT, and wait until each thread of it has
# stopped: one that works on another processor does not stop at once.
freeze ()
{
  kill -STOP "$1"
  wait_for "the threads to stop" frozen "$1"
}

frozen ()
{
  ! grep -hs '^State:' /proc/"$1"/task/*/status | grep -qv 'T (stopped)'
}

# volatile_server ID ARGUMENTS…: start nbd-volatile-server on $tmp/ID.sock, with
# the file $tmp/ID.img.  Sets $volatile_pid; kill_child ID crashes it.
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

# start_shadow ARGUMENTS…: run nbd-shadow in the background until end_shadow;
# when this returns, it is working.  Sets $shadow_pid.
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

# shadow_passed: end the shadow client, which must not have found an error.
shadow_passed ()
{
  end_shadow
  cat shadow.out
  check "status of the shadow client" $shadow_rc 0
}

# outage SIGNAL SERVER-ARGUMENTS…: cause an outage of the volatile server u,
# which has these arguments: KILL crashes it, and it is started again a moment
# later; USR1 is a power cut that is over at once; USR2 drops its connections.
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

# storms OPTIONS…: call the test's function "storm SIGNAL --connections=3" for
# each kind of outage, with $options set to each of these, the volatile
# server's.
storms ()
{
  local what
  for options; do
    for what in KILL USR1 USR2; do
      step "SIG$what, options of the server: $options"
      storm $what --connections=3
    done
  done
}

# moment: wait for 10 to 99 ms.
moment ()
{
  sleep 0.0$((RANDOM % 90 + 10))
}

# restart_upstream: crash server u; the function "upstream" of the test starts
# it again.
restart_upstream ()
{
  crash_server u
  sleep 0.2
  upstream
}

# run_fio COMMAND…: run fio with verify on server s for $seconds, which must see
# no error, and in the meantime run the command about once a second.  Sets
# $fio_rounds to how often that was.  Each job has one block size: with random
# ones, fio 3.33 misses its own blocks even on a server that nobody kills,
# without mnbd.
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
serialize_overlap=1
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
  # A first connect is not retried, so all jobs must be connected.
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
# creates a file, and which follows its connect.
fio_at_work_or_failed ()
{
  { [ -e small.prerun.txt ] && [ -e flushing.prerun.txt ] &&
      [ -e large.prerun.txt ]; } || ! kill -0 "$1" 2>/dev/null
}

# run_fio_restarting: run_fio while the upstream is repeatedly killed and
# restarted.
run_fio_restarting ()
{
  local i rounds=0
  # On a busy machine one run of fio may see a single restart.
  for ((i = 0; i < 5 && rounds < 2; i++)); do
    run_fio restart_upstream
    rounds=$((rounds + fio_rounds))
  done
  echo "$rounds restarts"
  [ $rounds -ge 2 ] || fail "fio ended too early: $(cat out)"
}

# python: as in functions.sh, with what mnbdtest.py has, too.
python ()
{
  nbdsh -c 'from nbdtest import *' -c 'from mnbdtest import *' -c -
}

# The number of threads and open files of the forwarder, to detect leaks.
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
