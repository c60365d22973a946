#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# arena=: disks survive kill -9 of their server, with everything that was
# answered.

. "$(dirname "$0")/../functions.sh"

ctl () { "$builddir/mblockctl" -q -s "$tmp/c" "$@"; }
stat_of () { ctl --json stats | python3 -c '
import json, sys
a = json.load(sys.stdin)["arena"]
print(eval(sys.argv[1]))' "$1"; }

# start: with what is in the file.
start () { rm -f c; serve arena=arena control="$tmp/c" "$@"; }

step "a new file"
start disk=a,size=64M
check "its mode" "$(stat -c %a arena)" 600
check "from" "$(stat_of 'a["recovery"]["from"]')" new
check "where" "$(stat_of 'a["file"]')" "$tmp/arena"

step "all kinds of changes"
long=$(printf 'n%.0s' {1..4096})
ctl create b 10M --sector-size=4096 --readonly
ctl create "$long" 1M
ctl create gone 1M
ctl create quota 1G --quota=1M
python <<'END'
h = connect("a")
h.pwrite(b"a" * MiB, 3 * MiB + 100)
h.pwrite(b"x" * PAGE, 50 * MiB)
connect("made").pwrite(b"made", 5)
connect("ephemeral").pread(512, 0)
connect("quota").pwrite(b"q" * MiB, 0)
END
ctl clone a clone
ctl create over 1M
ctl clone a over --replace
python <<'END'
connect("a").pwrite(b"A" * 512, 3 * MiB)
connect("clone").trim(PAGE, 50 * MiB)
connect("clone").zero(PAGE, 51 * MiB, nbd.CMD_FLAG_NO_HOLE)
END
ctl resize over 4M
ctl destroy gone
ctl clone a snapshot --readonly
listed="name,size,mapped,owned,quota,sector,clients,mode,parent"
ctl list -H --columns "$listed" >before
used=$(stat_of 'a["used"]')

look () {
  python <<'END'
h = connect("a")
check("a", h.pread(513, 3 * MiB), b"A" * 512 + b"a")
check("a", h.pread(MiB + 1, 3 * MiB + 512), b"a" * (MiB - 412) + b"\0" * 413)
h = connect("clone")
check("clone", h.pread(200, 3 * MiB), b"\0" * 100 + b"a" * 100)
check("extents of the clone", extents(h, 2 * PAGE, 50 * MiB)[0][1], "hole")
check("its zeros", extents(h, PAGE, 51 * MiB)[0][1], "zero")
h = connect("over")
check("size", h.get_size(), 4 * MiB)
check("over", h.pread(MiB - 100, 3 * MiB + 100), b"a" * (MiB - 100))
check("made", connect("made").pread(6, 4), b"\0made\0")
check("read-only", [connect(n).is_read_only() for n in ("b", "snapshot", "a")],
      [True, True, False])
check("sectors", connect("b").get_block_size(nbd.SIZE_MINIMUM), 4096)
refused("the quota", errno.ENOSPC, connect("quota").pwrite, b"q", 10 * MiB)
END
  ctl list -H --columns "$listed" >after
  diff before after || fail "the list is another"
}

for how in crash crash clean; do
  step "after $how"
  if [ $how = crash ]; then kill_server s; else stop_server s; fi
  start disk=a
  check "from" "$(stat_of 'a["recovery"]["from"]')" $how
  look
  check "memory used" "$(stat_of 'a["used"]')" "$used"
done

step "what goes on"
python <<'END'
connect("a").pwrite(b"again", 0)
END
ctl destroy clone
ctl reset snapshot
ctl resize over 64M
kill_server s
start
python <<'END'
check("a", connect("a").pread(5, 0), b"again")
check("grown again", connect("over").pread(60 * MiB, 4 * MiB), b"\0" * 60 * MiB)
END
! ctl info clone 2>/dev/null || fail "clone has come back"
ctl stats >out
grep -q "^Arena: .*arena, after a crash: 7 disks recovered in" out ||
  fail "stats: $(cat out)"

# wait_until WHAT COMMAND…: until it succeeds.
wait_until ()
{
  local what=$1 i
  shift
  for ((i = 0; i < 1200; i++)); do
    ! "$@" || return 0
    pause 0.05
  done
  fail "$what: not within a minute"
}

# It has ended, though perhaps nobody has waited for it yet.
is_dead () { ! grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

step "--run: the file is locked until the command ends, not only its server"
stop_server s
nbdkit -U "$tmp/run.sock" -P "$tmp/run.pid" "$mramdisk" arena=arena \
  --run 'echo $$ >command.pid; exec sleep 3600' >run.log 2>&1 &
run=$!
at_exit eval '[ ! -s command.pid ] || kill "$(cat command.pid)" || :'
wait_until "the command: $(cat run.log)" [ -s command.pid ]
wait_until "the server: $(cat run.log)" [ -s run.pid ]
server=$(cat run.pid)
[ "$server" != "$run" ] || fail "the command's process is the server"
kill -KILL "$server"
wait_until "the end of the server" is_dead "$server"
! is_dead "$(cat command.pid)" || fail "the command has ended with the server"
refused_start "arena=$tmp/arena: another process has it, expected one that is \
not in use, or arena-wait= to wait for it" "$mramdisk" arena=arena
kill "$(cat command.pid)"
rm command.pid
wait $run || :
start
python <<'END'
check("a", connect("a").pread(5, 0), b"again")
END
