#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server with a volatile cache, killed and restarted every second, under an
# ext4 file system that is in use.

. "$(dirname "$0")/mnbd-functions.sh"
only_mnbd
requires nbdfuse fusermount3 mount losetup mkfs.ext4 e2fsck
requires_root
[ -w /dev/fuse ] || skip "there is no /dev/fuse"
[ -e /dev/loop-control ] || skip "there are no loop devices"

upstream ()
{
  volatile_server u --size=134217728 --multi-conn --writeback=8
}
upstream
start_forwarder socket="$tmp/u.sock" reconnect=60
mkdir fuse mnt files
give_up ()
{
  umount mnt 2>/dev/null
  fusermount3 -u fuse 2>/dev/null
}
at_exit give_up
attach ()
{
  rm -f nbdfuse.pid
  nbdfuse -P "$tmp/nbdfuse.pid" fuse "$(uri)" >nbdfuse.log 2>&1 &
  fuse_pid=$!
  wait_for "nbdfuse" fuse_runs_or_failed
  kill -0 $fuse_pid 2>/dev/null ||
    skip "nbdfuse cannot mount here: $(cat nbdfuse.log)"
}
fuse_runs_or_failed ()
{
  { [ -s nbdfuse.pid ] && [ -e fuse/nbd ]; } ||
    ! kill -0 $fuse_pid 2>/dev/null
}
attach
mkfs.ext4 -q -E nodiscard fuse/nbd
mount -o loop fuse/nbd mnt 2>err || skip "cannot mount here: $(cat err)"
for i in 1 2 3 4; do dd if=/dev/urandom of=files/$i bs=1M count=3 2>err; done
cp -L "$testdir"/*.sh files/

# Copies come and go, some of them with fsync; each is kept or removed whole.
work ()
{
  local n=0
  while ! [ -e enough ]; do
    n=$((n + 1))
    cp -r files mnt/copy.$n || return 1
    [ $((n % 3)) -ne 0 ] || sync -f mnt || return 1
    [ $n -le 5 ] || rm -r mnt/copy.$((n - 5)) || return 1
    echo $n >copies
  done
}
work 2>work.err &
work_pid=$!
child work $work_pid
step "under load"
end=$((SECONDS + seconds)) kills=0
while [ $SECONDS -lt $end ]; do
  sleep 0.8
  kill_child u
  sleep 0.2
  upstream
  kills=$((kills + 1))
  kill -0 $work_pid 2>/dev/null || break
done
touch enough
rc=0
wait $work_pid || rc=$?
unset "children[work]"
[ $rc -eq 0 ] || fail "the file system saw an error: $(cat work.err)"
echo "$kills restarts, $(cat copies) copies"

step "all is there, from the server's own file after a last crash"
umount mnt
fusermount3 -u fuse
wait $fuse_pid || fail "nbdfuse ended with an error: $(cat nbdfuse.log)"
# nbdfuse does not flush when it ends, nor does a loop device always.
python <<'END'
connect().flush()
END
kill_child u
upstream
attach
e2fsck -fn fuse/nbd >out 2>&1 || fail "e2fsck -fn: $(cat out)"
mount -o loop,ro fuse/nbd mnt
n=$(cat copies)
for ((i = n > 5 ? n - 4 : 1; i <= n; i++)); do
  diff -r files mnt/copy.$i || fail "copy $i differs"
done
umount mnt
fusermount3 -u fuse
wait $fuse_pid || :
