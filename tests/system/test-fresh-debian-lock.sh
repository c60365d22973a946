#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# While one scripts/fresh-debian makes a base system, a run for another suite
# goes on, and one for the same suite waits until a signal ends it.

. "$(dirname "$0")/../functions.sh"

[ "$(id -u)" = 0 ] || skip "a fresh Debian needs root"
requires flock git unshare
[ -x /usr/lib/apt/apt-helper ] || skip "apt-helper is not installed"
unshare --mount --pid --fork true 2>/dev/null ||
  skip "no new mount and process namespace can be made here"

tool=$testdir/../scripts/fresh-debian
export FRESH_CACHE=$tmp/cache

# A mirror in a folder, and a debootstrap that only says that it was run.
mkdir bin cache
for suite in bookworm trixie; do
  mkdir -p mirror/dists/$suite
  echo 'Origin: Debian' >mirror/dists/$suite/InRelease
done
cat >bin/apt-get <<END
#!/bin/sh
printf '%s\n' 'file:$tmp/mirror|bookworm|main' 'file:$tmp/mirror|trixie|main'
END
cat >bin/debootstrap <<'END'
#!/bin/sh
echo "debootstrap $*"
exit 1
END
chmod +x bin/*
PATH=$tmp/bin:$PATH

# start SUITE: run it in the background.  Sets $pid; the output is in "said".
start ()
{
  "$tool" "$1" true >said 2>&1 </dev/null 7>&- &
  pid=$!
}

# end: wait until that run has ended.  Sets $rc.
end ()
{
  local i
  for ((i = 0; i < 1200; i++)); do
    running $pid || break
    pause 0.05
  done
  if running $pid; then
    kill -KILL $pid
    fail "it goes on: $(cat said)"
  fi
  rc=0
  wait $pid || rc=$?
}

exec 7>cache/bookworm.lock
flock 7

step "another suite"
start trixie
end
check "status" $rc 1
grep -q "^debootstrap .* trixie $tmp/cache/base" cache/trixie.log ||
  fail "debootstrap was not run: $(cat said)"

step "the same suite"
start bookworm
for ((i = 0; i < 1200; i++)); do
  ! grep -q 'waiting: another run makes' said || break
  running $pid || break
  pause 0.05
done
running $pid || fail "it does not wait: $(cat said)"
kill -TERM $pid
end
check "status after the signal" $rc 143
[ ! -e cache/bookworm.log ] || fail "it made a base system: $(cat said)"
