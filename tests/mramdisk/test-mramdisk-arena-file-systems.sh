#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# arena= on hugetlbfs and on file systems of disks: everything survives kill -9.

. "$(dirname "$0")/../functions.sh"

requires_root
mkdir m
unmount () { ! mountpoint -q "$tmp/m" || umount -l "$tmp/m"; }

# survive WHERE: disks in the file system m.
survive ()
{
  step "$1"
  start_server s "$mramdisk" arena=m/a disk=a,size=40M
  python <<'END'
h = connect("a")
h.pwrite(pattern(5 * MiB), MiB)
h.trim(2 * MiB, 2 * MiB)
h.pwrite(pattern(8 * KiB), 3 * MiB)
END
  kill_server s
  start_server s "$mramdisk" arena=m/a disk=a,size=40M
  python <<'END'
h = connect("a")
want = bytearray(pattern(5 * MiB))
want[MiB:3 * MiB] = bytes(2 * MiB)
want[2 * MiB:2 * MiB + 8 * KiB] = pattern(8 * KiB)
check("a", h.pread(5 * MiB, MiB), want)
h.trim(40 * MiB, 0)
END
  stop_server s
  start_server s "$mramdisk" arena=m/a
  check "empty" "$(nbdinfo --size "$(uri a)")" $((40 << 20))
  stop_server s
  umount m
}

tested=0
for fs in ext4 xfs; do
  type -P mkfs.$fs >/dev/null || continue
  truncate -s 400M image
  mkfs.$fs -q image 2>/dev/null || continue
  mount -o loop image m 2>/dev/null || continue
  at_exit unmount
  survive $fs
  rm image
  tested=$((tested + 1))
done

pages=$(cat /proc/sys/vm/nr_hugepages 2>/dev/null || echo)
if [ -n "$pages" ] && mount -t hugetlbfs -o pagesize=2M none m 2>/dev/null; then
  at_exit unmount
  { echo $((pages + 24)) >/proc/sys/vm/nr_hugepages; } 2>/dev/null || :
  at_exit eval "echo $pages >/proc/sys/vm/nr_hugepages"
  if [ "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)" -ge 16 ]; then
    # Recovery takes no huge page that the file does not have.
    step "an arena of one huge page"
    start_server s "$mramdisk" arena=m/a max-memory=4M
    kill_server s
    start_server s "$mramdisk" arena=m/a max-memory=4M
    check "KiB in use" "$(du -k m/a | cut -f1)" 2048
    stop_server s
    rm m/a
    survive hugetlbfs
    tested=$((tested + 1))
  fi
fi
[ $tested -gt 0 ] || skip "neither huge pages nor a loop device can be had"
