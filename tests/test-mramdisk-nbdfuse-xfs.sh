#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A real xfs file system on a disk, through nbdfuse and a loop mount.

. "$(dirname "$0")/functions.sh"

requires nbdfuse fusermount3 mount losetup fstrim mkfs.xfs xfs_repair
requires_root
[ -w /dev/fuse ] || skip "there is no /dev/fuse"
[ -e /dev/loop-control ] || skip "there are no loop devices"
serve size=512M
mkdir fuse mnt files

# attach: the disk becomes the file fuse/nbd, and detach ends that.
attach ()
{
  local i
  nbdfuse -P "$tmp/nbdfuse.pid" fuse "$(uri d)" >nbdfuse.log 2>&1 &
  fuse_pid=$!
  for ((i = 0; i < 400; i++)); do
    [ -s nbdfuse.pid ] && [ -e fuse/nbd ] && return
    running $fuse_pid ||
      skip "nbdfuse cannot mount here: $(cat nbdfuse.log)"
    sleep 0.05
  done
  fail "nbdfuse did not start: $(cat nbdfuse.log)"
}

detach ()
{
  fusermount3 -u fuse
  wait $fuse_pid || fail "nbdfuse ended with an error: $(cat nbdfuse.log)"
  rm -f nbdfuse.pid
}

give_up ()
{
  umount mnt 2>/dev/null
  fusermount3 -u fuse 2>/dev/null
}

at_exit give_up
attach
mkfs.xfs -q -K fuse/nbd
if ! mount -o loop fuse/nbd mnt 2>err; then
  case $(cat err) in
    *'unknown filesystem'*|*'not permitted'*|*'ermission denied'*|*'loop device'*)
      skip "cannot mount here: $(cat err)" ;;
  esac
  fail "mount: $(cat err)"
fi

step "copy real files"
cp -L "$mramdisk" "$(type -P bash)" "$testdir"/*.sh files/
for i in 1 2 3; do dd if=/dev/urandom of=files/$i bs=1M count=10 2>err; done
cp -a files mnt/
sync
diff -r files mnt/files || fail "the files differ"

step "mount it again, from a new connection"
umount mnt
detach
attach
mount -o loop fuse/nbd mnt
diff -r files mnt/files || fail "the files differ after mounting again"

step "fstrim gives the memory of deleted files back"
python <<'END'
print(mapped(connect("d")), file=open("mapped", "w"))
END
rm -r mnt/files
# XFS frees the extents of deleted files later, but before it is unmounted.
umount mnt
mount -o loop fuse/nbd mnt
fstrim mnt
cp -a files/1 mnt/kept
umount mnt
python <<'END'
before, after = int(open("mapped").read()), mapped(connect("d"))
if before < 30 * MiB or after > before - 15 * MiB:
    raise SystemExit("FAIL: mapped: %d before, %d after, expected 20 MiB less"
                     % (before, after))
END

step "check it"
xfs_repair -n -f fuse/nbd >out 2>&1 || fail "xfs_repair -n -f: $(cat out)"
mount -o loop,ro fuse/nbd mnt
cmp files/1 mnt/kept || fail "the file that was kept differs"
umount mnt
detach
