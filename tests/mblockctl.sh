# SPDX-License-Identifier: BSD-3-Clause
# What the tests of mblockctl share; they source it.

tests=$(cd "${srcdir:-.}/tests" && pwd) || exit 99
ctl=$PWD/mblockctl
[ -x "$ctl" ] || { echo "there is no $ctl: run make first"; exit 99; }
if ! command -v python3 >/dev/null; then
  echo "SKIP: python3 is not there"
  exit 77
fi
unset MBLOCK_SOCKET NO_COLOR COLUMNS LINES
export LC_ALL=C.UTF-8

tmp=$(mktemp -d) || exit 99
pids=()
rc=0

finish () {
  local status=$? pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  rm -rf "$tmp"
  exit "$status"
}
trap finish EXIT

# Skip the test if the real server, or nbdsh, cannot run here.  nbdkit cannot
# load what was built with a sanitizer; anything else that it cannot load is a
# failure.
needs_server () {
  local p
  for p in nbdkit nbdsh; do
    command -v $p >/dev/null || { echo "SKIP: $p is not there"; exit 77; }
  done
  [ -e mramdisk.so ] || {
    echo "FAIL: there is no $PWD/mramdisk.so: run make first"
    exit 99
  }
  if ! nbdkit ./mramdisk.so --help >"$tmp/help" 2>&1 ||
      ! grep -q 'control=' "$tmp/help"; then
    if grep -qE '__(asan|tsan)_' mramdisk.so; then
      echo "SKIP: mramdisk.so was built with a sanitizer"
      exit 77
    fi
    cat "$tmp/help"
    echo "FAIL: mramdisk.so cannot be loaded, or has no control socket"
    exit 1
  fi
  # The python3 that has the module nbd.
  export PATH=/usr/bin:$PATH
}

# Start the fake server at $tmp/$1 in mode $2, and wait for it.
start_fake () {
  python3 "$tests/fake-control.py" "$tmp/$1" "${2:-normal}" &
  pids+=($!)
  local i
  for ((i = 0; i < 1000; i++)); do
    [ -S "$tmp/$1" ] && return
    sleep 0.02
  done
  echo "the fake server did not start"
  exit 99
}

# Run mblockctl: the output goes to $tmp/out and $tmp/err.
run () {
  shown="mblockctl $*"
  "$ctl" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
  status=$?
}

wrong () {
  echo "WRONG: $shown: $*"
  echo "--- standard output:"; cat -v "$tmp/out" | cut -c 1-300
  echo "--- standard error:"; cat -v "$tmp/err" | cut -c 1-300
  rc=1
}

# Run it (from the second argument on) and expect that exit code.
status () {
  local expected=$1
  shift
  run "$@"
  [ "$status" = "$expected" ] ||
    wrong "the exit code is $status, expected $expected"
}

# Standard output is exactly that, or has that in it.
out_is () {
  printf '%s\n' "$@" | cmp -s - "$tmp/out" || wrong "expected: $*"
}
out_has () {
  grep -qF -e "$1" "$tmp/out" || wrong "expected in the output: $1"
}
out_empty () {
  [ ! -s "$tmp/out" ] || wrong "expected no output"
}

# One line on standard error, with that in it.
error_has () {
  [ "$(wc -l < "$tmp/err")" = 1 ] || wrong "expected one line of error"
  grep -q '^mblockctl: ' "$tmp/err" || wrong "expected \"mblockctl: \" first"
  grep -qF -e "$1" "$tmp/err" || wrong "expected in the error: $1"
}
no_error () {
  [ ! -s "$tmp/err" ] || wrong "expected no error"
}

# The output is one JSON document, for which this Python expression holds.
json () {
  python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$tmp/out" "$1" ||
    wrong "expected of the JSON: $1"
}
