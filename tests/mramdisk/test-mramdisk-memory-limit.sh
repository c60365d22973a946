#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In a control group with limited memory, a full server answers ENOSPC and the
# kernel kills nobody, whatever max-memory= says, if the arena's file system has
# 80 % of that memory, as with mramdisk@.service.

. "$(dirname "$0")/../functions.sh"

requires_root

# make_group: set $group to a new control group, $own to ours, and $limit_file
# to the name of the limit of its memory, in version 2 or 1.
make_group ()
{
  local line path parent
  while IFS=: read -r _ line path; do
    case ,$line, in
      ,,)
        parent=/sys/fs/cgroup${path%/*}
        grep -qw memory "$parent/cgroup.subtree_control" 2>refused || continue
        own=/sys/fs/cgroup$path
        limit_file=memory.max
        swap_file=memory.swap.max
        ;;
      *,memory,*)
        parent=/sys/fs/cgroup/memory${path%/}
        own=$parent
        limit_file=memory.limit_in_bytes
        swap_file=memory.memsw.limit_in_bytes
        ;;
      *) continue ;;
    esac
    group=$parent/mblock-test-$$
    mkdir "$group" 2>refused && return
  done </proc/self/cgroup
  skip "no control group with a limit of memory: $(cat refused)"
}

end_group ()
{
  local process
  while read -r process; do
    echo "$process" >"$own/cgroup.procs"
  done <"$group/cgroup.procs"
  # A process that was killed counts until the kernel is done with it.
  for _ in {1..100}; do
    ! rmdir "$group" 2>refused || return 0
    sleep 0.1
  done
  cat refused
}

make_group
at_exit end_group
limit=$((512 << 20))
echo $limit >"$group/$limit_file" || skip "the group cannot have a limit"
# Nothing may be swapped out.
[ ! -e "$group/$swap_file" ] || case $swap_file in
  *memsw*) echo $limit ;;
  *) echo 0 ;;
esac >"$group/$swap_file"

mkdir bin m
cat >bin/nbdkit <<END
#!/bin/sh
echo \$\$ >"$group/cgroup.procs" || exit 1
exec $(type -P nbdkit) "\$@"
END
chmod +x bin/nbdkit
PATH=$tmp/bin:$PATH

mount -t tmpfs -o size=$((limit / 10 * 8)) mblock-test m 2>refused ||
  skip "$(cat refused)"
at_exit umount -l m

# full PARAMETERS…: fill the memory, then use all connections, with requests as
# large as they may be.
full ()
{
  step "full, ${*:-with the defaults}"
  rm -f m/a
  serve -v arena=m/a size=1T "$@"
  connections=$(sed -n 's/.*max-connections=\([0-9]*\),.*/\1/p' s.log |
                  head -n 1) python <<'END'
most = int(os.environ["connections"])

def fill(c, done):
    try:
        while True:
            c.pwrite(pattern(MiB, done), done * MiB)
            done += 1
    except nbd.Error as e:
        check("errno", e.errno, "ENOSPC")
    return done

h = [connect("full")]
done = fill(h[0], 0)
print("%d connections; ENOSPC after %d MiB" % (most, done))
if done < 300:
    raise SystemExit("FAIL: ENOSPC after %d MiB" % done)
h += [connect("full") for i in range(most - 1)]
refused("a connection too many", None, connect, "full")
large = 0
for c in h:
    try:
        c.pread(16 * MiB, 0)
        large += 1
    except nbd.Error as e:
        check("errno", e.errno, "EINVAL")
check("a large request is refused at last", large < most, True)
for i in range(17):             # each thread of a connection has some
    for c in h:
        check("content", c.pread(MiB, i * MiB), pattern(MiB, i))
for c in h:
    c.pwrite(pattern(MiB, 0), 0)
    done = fill(c, done)        # what idle threads have given back, at most
END
  stop_server s
}
full
full max-memory=409M
full max-memory=100G
full max-memory=100G parallel=yes

step "a line in the log says what does not fit"
warning='the kernel may kill the server'
! grep "$warning" s.log || fail "expected no such line"
serve max-memory=450M
grep -q "max-memory=450M: .* control group has 512M: $warning" s.log ||
  fail "expected the line: $(cat s.log)"
stop_server s
serve max-memory=400M
! grep "$warning" s.log || fail "expected no such line"
stop_server s
