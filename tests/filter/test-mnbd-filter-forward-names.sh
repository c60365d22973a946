#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream's export for each name, and the meaning of the empty name.

. "$(dirname "$0")/../filter-functions.sh"

start_server u "$mramdisk" default=a disk=a,size=1M disk=b,size=2M size=9M

# sizes PARAMETERS…: of the exports "", a, b and c.
sizes ()
{
  local name all=()
  start_server s --filter="$filter" "$mramdisk" size=64M mnbd-mode=forward \
    "$@"
  for name in "" a b c; do
    all+=("$(timeout 60 nbdinfo --size "$(uri "$name")")")
  done
  stop_server s
  echo $((all[0] >> 20)) $((all[1] >> 20)) $((all[2] >> 20)) \
    $((all[3] >> 20)) >sizes
}
expect ()
{
  local expected=$1
  shift
  step "$*"
  sizes "$@"
  check "sizes with $*" "$(cat sizes)" "$expected"
}
at=mnbd-socket=$tmp/u.sock

expect "1 1 1 1" "$at"
expect "2 2 2 2" "$at" mnbd-export=b
expect "64 64 2 64" "$at" mnbd-export=b mnbd-exports=b
expect "64 64 64 1" "$at" mnbd-exports=c
expect "1 64 64 64" "$at" mnbd-exports=
expect "2 64 64 64" "$at" mnbd-exports= mnbd-export=b
expect "1 1 2 9" "$at" mnbd-dynamic-export=true
expect "64 1 2 64" "$at" mnbd-dynamic-export=true 'mnbd-exports=[ab]'
expect "64 1 64 64" "$at" mnbd-dynamic-export=true mnbd-exports=a
expect "2 2 2 2" mnbd="nbd+unix:///b?socket=$tmp/u.sock"

step "the lists"
names ()
{
  start_server s --filter="$filter" "$mramdisk" size=64M disk=own \
    mnbd-mode=forward "$at" "$@"
  python <<'END'
print(" ".join(repr(n) for n in sorted(names())))
END
  stop_server s
}
check "one export of the upstream under all names" "$(names)" "''"
check "under one name" "$(names mnbd-exports=c)" "'' 'c' 'own'"
check "by its name" "$(names mnbd-export=b)" "'b'"
check "all of the upstream" "$(names mnbd-dynamic-export=true)" "'a' 'b'"

step "patterns match characters, whatever the locale of nbdkit"
start_server c "$mramdisk" auto-create=no disk=café,size=3M disk=жук,size=5M
# which PATTERN LOCALE: sizes of both names.
which ()
{
  local name all=()
  LC_ALL=$2 start_server s --filter="$filter" "$mramdisk" size=64M \
    mnbd-mode=forward mnbd-socket="$tmp/c.sock" mnbd-dynamic-export=true \
    "mnbd-exports=$1"
  for name in caf%C3%A9 %D0%B6%D1%83%D0%BA; do
    all+=("$(timeout 60 nbdinfo --size "$(uri "$name")")")
  done
  stop_server s
  echo $((all[0] >> 20)) $((all[1] >> 20)) >sizes
}
for locale in C C.UTF-8; do
  for pattern in 'caf?' 'caf[é]' 'caf[è-ê]' 'caf[!e]' '*é' '????'; do
    which "$pattern" $locale
    check "$pattern in $locale" "$(cat sizes)" "3 64"
  done
  for pattern in '???' '[а-я]*' '[!a-z]*к' 'ж\у[[:alpha:]]'; do
    which "$pattern" $locale
    check "$pattern in $locale" "$(cat sizes)" "64 5"
  done
  which 'caf??' $locale
  check "caf?? in $locale" "$(cat sizes)" "64 64"
done
