# SPDX-License-Identifier: BSD-3-Clause
# What every test script uses; README.md says how.  To be sourced by bash.
#
# A test runs in a temporary folder of its own ($tmp, also the current folder).
# At the end, the folder is removed, with the servers that the test started and
# the mounts that it made.

# nbdsh needs the python3 for which libnbd's module was built.
PATH=${MBLOCK_PATH_FIRST:+$MBLOCK_PATH_FIRST:}/usr/bin:/usr/sbin:/bin:/sbin:$PATH
export LC_ALL=C

testdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$(cd "$(dirname "$0")" && pwd)/${0##*/}  # the test, to run it again
builddir=${abs_top_builddir:-$PWD}
mramdisk=$builddir/mramdisk.so
export abs_top_builddir=$builddir       # for scripts that this one runs
export PYTHONPATH=$testdir PYTHONDONTWRITEBYTECODE=1

tmp=$(mktemp -d "${TMPDIR:-/tmp}/mblock-test-XXXXXX") || exit 99
export tmp
cd "$tmp" || exit 99
folders=("$tmp")                # removed when the servers have ended
servers=()                      # the names of those that run
cleanups=()                     # commands, the last is run first

fail ()
{
  printf 'FAIL: %s\n' "$*" >&2
  exit 1
}

skip ()
{
  printf 'SKIP: %s\n' "$*"
  exit 77
}

# pause SECONDS: sleep(1) would be a process, which takes longer to start than
# most pauses last.
pause ()
{
  [ -p "$tmp/.silent" ] || mkfifo "$tmp/.silent"
  read -rt "$1" <>"$tmp/.silent" || :
}

# What the following lines of the test are about.
step ()
{
  printf -- '- %s\n' "$*"
}

# at_exit COMMAND…: run it at the end of the test, however that ends.
at_exit ()
{
  cleanups+=("$(printf '%q ' "$@")")
}

# requires PROGRAM…: skip the test if one is not installed.
requires ()
{
  local program
  for program; do
    type -P "$program" >/dev/null || skip "$program is not installed"
  done
}

requires_root ()
{
  [ "$(id -u)" = 0 ] || skip "mounting needs root"
}

# requires_nbdfuse: skip the test if a file of nbdfuse cannot be mounted here.
requires_nbdfuse ()
{
  requires nbdfuse fusermount3 mount losetup
  requires_root
  [ -w /dev/fuse ] || skip "there is no /dev/fuse"
  losetup -f >/dev/null 2>&1 || skip "there are no loop devices"
}

# requires_nbdkit FEATURE: skip the test if nbdkit was built without it (for
# example tls), according to nbdkit --dump-config.
requires_nbdkit ()
{
  nbdkit --dump-config | grep -q "^$1=yes" || skip "nbdkit has no $1"
}

# requires_filter NAME…
requires_filter ()
{
  local name
  for name; do
    nbdkit --filter="$name" null --dump-plugin >/dev/null 2>&1 ||
      skip "nbdkit's filter $name is not installed"
  done
}

# requires_fio: skip the test if fio does not support NBD.
requires_fio ()
{
  requires fio
  fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"
}

# make_certificates FOLDER…: create each, with its own authority, and
# certificates signed by it for a server and a client called localhost.
make_certificates ()
{
  local ca peer
  requires certtool
  requires_nbdkit tls
  for ca; do
    mkdir "$ca"
    printf '%s\n' 'cn = mblock test' ca cert_signing_key >"$ca/ca.info"
    printf '%s\n' 'cn = localhost' 'dns_name = localhost' tls_www_server \
      tls_www_client signing_key >"$ca/peer.info"
    {
      certtool --generate-privkey --key-type=ecdsa --outfile="$ca/ca-key.pem"
      certtool --generate-self-signed --load-privkey="$ca/ca-key.pem" \
        --template="$ca/ca.info" --outfile="$ca/ca-cert.pem"
      for peer in server client; do
        certtool --generate-privkey --key-type=ecdsa \
          --outfile="$ca/$peer-key.pem"
        certtool --generate-certificate --load-privkey="$ca/$peer-key.pem" \
          --load-ca-certificate="$ca/ca-cert.pem" \
          --load-ca-privkey="$ca/ca-key.pem" --template="$ca/peer.info" \
          --outfile="$ca/$peer-cert.pem"
      done
    } >out 2>&1 || fail "certtool: $(cat out)"
  done
}

# start_server ID NBDKIT-ARGUMENTS…: start a server on the socket $tmp/ID.sock,
# and wait until it listens.  Its log is $tmp/ID.log.  Sets $pid.
start_server ()
{
  local id=$1 i
  shift
  nbdkit -f -U "$tmp/$id.sock" -P "$tmp/$id.pid" "$@" >"$id.log" 2>&1 &
  pid=$!
  for ((i = 0; i < 600; i++)); do
    [ -s "$id.pid" ] && break
    running "$pid" || break
    pause 0.05
  done
  if [ ! -s "$id.pid" ]; then
    ! running "$pid" || kill "$pid"
    cat "$id.log" >&2
    fail "nbdkit $* did not start"
  fi
  servers+=("$id")
}

# serve PARAMETERS…: start a server of mramdisk on the socket $sock, as "s".
serve ()
{
  start_server s "$mramdisk" "$@"
}
export sock=$tmp/s.sock

# free_port [ADDRESS]: set $port to a TCP port of the address, 127.0.0.1 or ::1,
# and $address to it.  Nobody else gets the port until the end of the test.  A
# process holds it and does not listen, so that a server that sets SO_REUSEADDR,
# as nbdkit does, can still have it.
free_port ()
{
  local holder i
  address=${1:-127.0.0.1}
  rm -f free-port
  /usr/bin/python3 -c 'import signal, socket, sys
address = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, 0))
print(s.getsockname()[1], flush=True)
signal.pause()' "$address" >free-port &
  holder=$!
  at_exit kill "$holder"
  for ((i = 0; i < 1200; i++)); do
    [ ! -s free-port ] || break
    pause 0.05
  done
  port=$(cat free-port)
  [ -n "$port" ] || fail "there is no free port"
}

# start_tcp_server NBDKIT-ARGUMENTS…: start nbdkit on $address and $port
# (free_port), and set $pid.  Its log is tcp.log; remove tcp.pid before another
# one is started.
start_tcp_server ()
{
  local i
  nbdkit -f -i "$address" -p "$port" -P "$tmp/tcp.pid" "$@" >tcp.log 2>&1 &
  pid=$!
  at_exit eval "kill -KILL $pid 2>/dev/null || :"
  for ((i = 0; i < 1200; i++)); do
    [ ! -s tcp.pid ] || break
    pause 0.05
  done
}

# uri [EXPORT [ID]]: print the URI of an export, whose name is not escaped.
uri ()
{
  printf 'nbd+unix:///%s?socket=%s' "${1:-}" "$tmp/${2:-s}.sock"
}

# Whether a process that this shell started still exists.  Unlike kill -0, this
# cannot mistake another process with the same number for it.
running ()
{
  local pids
  jobs -pr >"$tmp/running"
  mapfile -t pids <"$tmp/running"
  [[ " ${pids[*]} " = *" $1 "* ]]
}

# end_of ID: send a server the signal to end, wait until it has ended, for at
# least a minute, and return its status. nbdkit first waits until all clients
# have disconnected.
end_of ()
{
  local pid i
  pid=$(cat "$1.pid")
  ! running "$pid" || kill "$pid"
  for ((i = 0; i < 3000; i++)); do
    running "$pid" || break
    pause 0.02
  done
  ! running "$pid" || kill -KILL "$pid"
  wait "$pid"
}

# stop_server ID: end a server, which must exit by itself with status 0.
stop_server ()
{
  local id=$1 rc=0 i left=()
  end_of "$id" || rc=$?
  for i in "${servers[@]}"; do
    [ "$i" = "$id" ] || left+=("$i")
  done
  servers=("${left[@]}")
  rm -f "$id.pid" "$id.sock"    # nbdkit leaves the socket
  if [ $rc -ne 0 ]; then
    cat "$id.log" >&2
    fail "server $id ended with status $rc, expected 0"
  fi
}

# kill_server ID: end a server with SIGKILL, whatever it is doing.
kill_server ()
{
  local id=$1 i left=() pid
  pid=$(cat "$id.pid")
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null || :
  for i in "${servers[@]}"; do
    [ "$i" = "$id" ] || left+=("$i")
  done
  servers=("${left[@]}")
  rm -f "$id.pid" "$id.sock"
}

# Stop servers, unmount, remove the folder.  Runs at every exit.
finish ()
{
  local rc=$1 id i server_rc
  trap '' EXIT
  set +e
  for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
    eval "${cleanups[i]}"
  done
  # The last one first: it may be a client of others, which would wait for it.
  for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
    id=${servers[i]}
    end_of "$id"
    server_rc=$?
    if [ $server_rc -ne 0 ]; then
      echo "FAIL: server $id ended with status $server_rc, expected 0" >&2
      [ $rc -ne 0 ] || rc=1
    fi
    if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then
      echo "--- the end of the log of server $id:" >&2
      tail -n 50 "$id.log" >&2
    fi
  done
  cd / && rm -rf "${folders[@]}"
  exit "$rc"
}
trap 'finish $?' EXIT
trap 'exit 1' INT TERM HUP
set -e

# check WHAT ACTUAL EXPECTED
check ()
{
  [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}

# refused COMMAND…: the command must fail; its output is then in $tmp/refused.
refused ()
{
  if "$@" >"$tmp/refused" 2>&1; then
    cat "$tmp/refused" >&2
    fail "'$*' succeeded, expected a failure"
  fi
}

# refused_start EXPECTED NBDKIT-ARGUMENTS…: nbdkit must not start, and say why
# in exactly one line.
refused_start ()
{
  local expected=$1 rc=0 said
  shift
  nbdkit -U - "$@" --run 'echo it has started' >refused 2>&1 </dev/null ||
    rc=$?
  said=$(cat refused)
  check "nbdkit $*" "$said" "nbdkit: error: $expected"
  [ $rc -ne 0 ] || fail "nbdkit $*: exit status 0, expected a failure"
}

# nbd_info URI KEY: print one value of an export, from nbdinfo's JSON, or
# "none". nbdinfo's output for people differs between versions.
nbd_info ()
{
  nbdinfo --json "$1" >info.json || fail "nbdinfo $1"
  /usr/bin/python3 -c 'import json, sys
print(json.load(open("info.json"))["exports"][0].get(sys.argv[1], "none"))' \
    "$2"
}

# nbd_list URI: print the names that nbdinfo lists, each in quotes on a line.
nbd_list ()
{
  nbdinfo --list --json "$1" >list.json || fail "nbdinfo --list $1"
  /usr/bin/python3 -c 'import json
for e in json.load(open("list.json"))["exports"]:
    print(json.dumps(e["export-name"]))'
}

# fill ID CHARACTER MIB OFFSET: write this many MiB of the character to a
# server's default export, from an offset in MiB on.  Since 1.18, libnbd refuses
# requests larger than the server allows, and mramdisk allows 1 MiB.
fill ()
{
  nbdsh -u "$(uri '' "$1")" -c "
for i in range($4, $4 + $3):
    h.pwrite(b'$2' * (1 << 20), i << 20)"
}

# python: run standard input in nbdsh, with what nbdtest.py has.
python ()
{
  nbdsh -c 'from nbdtest import *' -c -
}

if ! [ -e "$mramdisk" ]; then
  echo "FAIL: $mramdisk does not exist; run make, and then the test," \
       "in the build folder" >&2
  exit 99
fi
requires nbdkit nbdsh
