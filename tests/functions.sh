# SPDX-License-Identifier: BSD-3-Clause
# What every test script uses; README.md says how.  To be sourced by bash.
#
# A test runs in a temporary folder of its own ($tmp, also the current folder),
# which goes with it, as do the servers that it started and the mounts it made.

# nbdsh needs the python3 that libnbd's module was built for.
PATH=${MBLOCK_PATH_FIRST:+$MBLOCK_PATH_FIRST:}/usr/bin:/usr/sbin:/bin:/sbin:$PATH
export LC_ALL=C

testdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
builddir=${abs_top_builddir:-$PWD}
mramdisk=$builddir/mramdisk.so
export PYTHONPATH=$testdir PYTHONDONTWRITEBYTECODE=1

tmp=$(mktemp -d "${TMPDIR:-/tmp}/mblock-test-XXXXXX") || exit 99
export tmp
cd "$tmp" || exit 99
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

# What the following lines of the test are about.
step ()
{
  printf -- '- %s\n' "$*"
}

# at_exit COMMAND…: run it at the end, however the test ends.
at_exit ()
{
  cleanups+=("$(printf '%q ' "$@")")
}

# requires PROGRAM…: skip if one is not installed.
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

# requires_nbdkit FEATURE: skip if nbdkit was built without it (for example
# tls), as nbdkit --dump-config says.
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

# requires_fio: skip if fio cannot speak NBD.
requires_fio ()
{
  requires fio
  fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio has no nbd engine"
}

# make_certificates FOLDER…: make each, with an authority of its own and what
# this has signed for a server and a client called localhost.
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

# start_server ID NBDKIT-ARGUMENTS…: start a server on the socket $tmp/ID.sock
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
    sleep 0.05
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

# uri [EXPORT [ID]]: print the URI of an export, whose name is not escaped.
uri ()
{
  printf 'nbd+unix:///%s?socket=%s' "${1:-}" "$tmp/${2:-s}.sock"
}

# Is a process that this shell started still there?  Unlike kill -0 this cannot
# take another one with the same number for it.
running ()
{
  jobs -pr >"$tmp/running"
  grep -qx "$1" "$tmp/running"
}

# end_of ID: send a server the signal to end, and wait until it has; returns its
# status.  nbdkit first waits until all clients have gone.
end_of ()
{
  local pid i
  pid=$(cat "$1.pid")
  ! running "$pid" || kill "$pid"
  for ((i = 0; i < 1200; i++)); do
    running "$pid" || break
    sleep 0.02
  done
  ! running "$pid" || kill -KILL "$pid"
  wait "$pid"
}

# stop_server ID: end a server, which must then exit by itself with status 0.
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
  cd / && rm -rf "$tmp"
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

# refused COMMAND…: it must fail; its output is then in the file $tmp/refused.
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
