#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# scripts/fresh-debian says what is wrong with its arguments, and makes nothing.
# .ci/run has it make systems.

. "$(dirname "$0")/../functions.sh"

tool=$testdir/../scripts/fresh-debian
export FRESH_CACHE=$tmp/cache

# no LINE ARGUMENT…: refused, with that line.
no ()
{
  local line=$1 rc=0
  shift
  "$tool" "$@" >said 2>&1 </dev/null || rc=$?
  check "fresh-debian $*" "$(cat said)" "scripts/fresh-debian: $line"
  check "status of fresh-debian $*" $rc 2
}

no "expected the suite and a command; --help says more"
no "expected a command after 'bookworm'" bookworm
for suite in ../etc Bookworm -x 'a b' "a'b"; do
  no "wrong suite '$suite': expected a name such as bookworm" "$suite" true
done
FRESH_SHARE=$tmp/none no \
  "FRESH_SHARE: expected a folder, there is no '$tmp/none'" bookworm true
"$tool" --help >said
grep -q '^Usage: scripts/fresh-debian SUITE COMMAND' said ||
  fail "--help: $(cat said)"
[ ! -e cache ] || fail "it has made its cache"
