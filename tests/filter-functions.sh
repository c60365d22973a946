# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the mnbd filter use beyond mnbd-functions.sh.  To be sourced
# by bash.

. "$(dirname "${BASH_SOURCE[0]}")/mnbd-functions.sh"

if ! [ -e "$filter" ]; then
  echo "FAIL: $filter does not exist; run make first" >&2
  exit 99
fi

# sock_of ID: the URI of a server's default export, for mnbd=.
sock_of ()
{
  printf 'nbd+unix:///?socket=%s' "$tmp/$1.sock"
}

# filter_refused EXPECTED NBDKIT-ARGUMENTS…: nbdkit with the filter must not
# start, and say why in exactly one line, which contains EXPECTED.
filter_refused ()
{
  local expected=$1 rc=0
  shift
  timeout 60 nbdkit -U - --filter="$filter" "$@" --run 'echo it has started' \
    >refused 2>&1 </dev/null || rc=$?
  [ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "$*: status $rc: $(cat refused)"
  said_in_one_line "$expected" "$@"
}

# pair_refused EXPECTED NBDKIT-ARGUMENTS…: as filter_refused, for errors that
# are found only when nbdkit serves (with --run, the command would have begun).
pair_refused ()
{
  local expected=$1 rc=0
  shift
  timeout 30 nbdkit -f -U "$tmp/refused.sock" --filter="$filter" "$@" \
    >refused 2>&1 </dev/null || rc=$?
  rm -f refused.sock
  check "status of $*: $(cat refused)" $rc 1
  said_in_one_line "$expected" "$@"
}

# said_in_one_line EXPECTED NBDKIT-ARGUMENTS…: the file "refused" must be one
# line of nbdkit that contains EXPECTED.
said_in_one_line ()
{
  local expected=$1
  shift
  check "lines about $*" "$(wc -l <refused)" 1
  grep -qF -e "nbdkit: error: " refused || fail "$*: $(cat refused)"
  grep -qF -e "$expected" refused ||
    fail "$*: got '$(cat refused)', expected '$expected'"
}
