#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server with a volatile cache, killed and restarted every second, under an
# ext4 file system that is in use.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd
requires mkfs.ext4 e2fsck
. "$testdir/nbdfuse-functions.sh"

upstream ()
{
  volatile_server u --size=134217728 --multi-conn --writeback=8
}
upstream
start_forwarder socket="$tmp/u.sock" reconnect=60
attach ""
mkfs.ext4 -q -E nodiscard fuse/nbd
mount_new
random_files 4 3
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
detach
# nbdfuse does not flush when it ends, nor does a loop device always.
python <<'END'
connect().flush()
END
kill_child u
upstream
attach ""
e2fsck -fn fuse/nbd >out 2>&1 || fail "e2fsck -fn: $(cat out)"
mount -o loop,ro fuse/nbd mnt
n=$(cat copies)
for ((i = n > 5 ? n - 4 : 1; i <= n; i++)); do
  diff -r files mnt/copy.$i || fail "copy $i differs"
done
umount mnt
unmount_fuse
wait $fuse_pid || :
