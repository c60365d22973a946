# SPDX-License-Identifier: BSD-3-Clause
# What the tests with a real file system share: a disk becomes the file fuse/nbd
# through nbdfuse, and is mounted on mnt.  To be sourced by bash, after
# functions.sh or mnbd-functions.sh.

requires_nbdfuse
mkdir fuse mnt files

give_up ()
{
  umount mnt 2>/dev/null
  fusermount3 -u -z fuse 2>/dev/null
}
at_exit give_up

# attach EXPORT: of server s; until detach.
attach ()
{
  local i
  nbdfuse -P "$tmp/nbdfuse.pid" fuse "$(uri "$1")" >nbdfuse.log 2>&1 &
  fuse_pid=$!
  for ((i = 0; i < 600; i++)); do
    [ -s nbdfuse.pid ] && [ -e fuse/nbd ] && return
    running $fuse_pid ||
      skip "nbdfuse cannot mount here: $(cat nbdfuse.log)"
    pause 0.05
  done
  fail "nbdfuse did not start: $(cat nbdfuse.log)"
}

# unmount_fuse: a loop device may need its file for a moment after umount.
unmount_fuse ()
{
  local i
  for ((i = 0; i < 600; i++)); do
    fusermount3 -u fuse 2>err && return
    pause 0.05
  done
  fail "fusermount3: $(cat err)"
}

detach ()
{
  unmount_fuse
  wait $fuse_pid || fail "nbdfuse ended with an error: $(cat nbdfuse.log)"
  rm -f nbdfuse.pid
}

# mount_new: mount a file system that was just made.
mount_new ()
{
  mount -o loop fuse/nbd mnt 2>err && return
  case $(cat err) in
    *'unknown filesystem'* | *'not permitted'* | *'ermission denied'* | \
      *'loop device'*)
      skip "cannot mount here: $(cat err)" ;;
  esac
  fail "mount: $(cat err)"
}

# random_files N MIB: files/1 to files/N, each of that many MiB.
random_files ()
{
  local i
  for ((i = 1; i <= $1; i++)); do
    dd if=/dev/urandom of=files/$i bs=1M count="$2" 2>err
  done
}

# holds_file_system MKFS FSCK: disk d, which a server s makes, keeps what a real
# file system has in it, and is given back what is not used any more.  Both are
# commands, to which fuse/nbd is added.
holds_file_system ()
{
  local mkfs=$1 fsck=$2
  requires fstrim "${mkfs%% *}" "${fsck%% *}"
  attach d
  $mkfs fuse/nbd
  mount_new

  step "copy real files"
  cp -L "$mramdisk" "$(type -P bash)" "$testdir"/*.sh files/
  random_files 3 10
  cp -a files mnt/
  sync
  diff -r files mnt/files || fail "the files differ"

  step "mount it again, from a new connection"
  umount mnt
  detach
  attach d
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
  $fsck fuse/nbd >out 2>&1 || fail "$fsck: $(cat out)"
  mount -o loop,ro fuse/nbd mnt
  cmp files/1 mnt/kept || fail "the file that was kept differs"
  umount mnt
  detach
}
