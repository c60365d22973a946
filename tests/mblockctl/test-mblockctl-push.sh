#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mblockctl push into files, and mblockctl jobs, with the real server.

. "$(dirname "$0")/../functions.sh"

requires qemu-img qemu-nbd nbdcopy
ctl=$builddir/mblockctl
export MBLOCK_SOCKET=$tmp/control TMPDIR=$tmp XDG_RUNTIME_DIR=$tmp
serve size=32M control=control
python <<'END'
from nbdtest import *
h = connect("a")
h.pwrite(pattern(MiB), 5 * MiB)
h.pwrite(b"end", 32 * MiB - 3)
END
nbdcopy "$(uri a)" a.raw

# said EXPECTED COMMAND…: it is refused with this one line.
said ()
{
  local expected=$1
  shift
  refused "$@"
  check "$*" "$(cat refused)" "mblockctl: $expected"
}

step "A new raw file, an existing one, and qcow2"
check "what it says" "$($ctl push a new.raw --verify)" \
  "pushed a to new.raw: ~1.0M of data"
cmp a.raw new.raw
check "holes" "$(du -k new.raw | cut -f1)" 1028
head -c 32M /dev/urandom >old.raw
$ctl push a old.raw --quiet
cmp a.raw old.raw
$ctl push a full.qcow2 --format qcow2 --verify --json >json
grep -q '"state": "done"' json
qemu-img compare -q -f raw -F qcow2 a.raw full.qcow2
# A colon is part of the name.
$ctl push a a@12:34:56.qcow2 --format qcow2 --quiet
qemu-img compare -q -f raw -F qcow2 a.raw ./a@12:34:56.qcow2

step "A chain of increments"
$ctl clone a monday --readonly --quiet
python <<'END'
from nbdtest import *
h = connect("a")
h.pwrite(b"x" * 5000, 15 * MiB)
h.trim(MiB, 5 * MiB)
END
nbdcopy "$(uri a)" tuesday.raw
qemu-img create -q -f qcow2 -b full.qcow2 -F qcow2 inc.qcow2
check "what it says" "$($ctl push a inc.qcow2 --since monday --verify)" \
  "pushed a to inc.qcow2: 8K of data"
qemu-img compare -q -f raw -F qcow2 tuesday.raw inc.qcow2
qemu-img compare -q -f raw -F qcow2 a.raw full.qcow2

step "What is refused"
mkfifo fifo
for what in fifo "$tmp" /dev/null; do
  said "push: $what: expected a file or a block device" $ctl push a "$what"
done
said "push: DEST: expected a file or the URI of an NBD export" $ctl push a ''
said "save: DIR: expected the path of a folder" $ctl save ''
said "load: DIR: expected the path of a folder" $ctl load ''
said "push: none.raw: there is no such file: expected one with the content of \
the snapshot --since" $ctl push a none.raw --since monday
said "push: there is no disk \"none\" (ENOENT)" $ctl push none old.raw
said "push: --since: there is no disk \"none\" (ENOENT)" \
  $ctl push a old.raw --since none
said "push: no/file: No such file or directory" $ctl push a no/file
said "push: --format: expected a file as DEST, not a URI" \
  $ctl push a nbd://localhost --format raw
said "push: --detach: expected a URI as DEST: a file is served by this command" \
  $ctl push a old.raw --detach
said "push: nbd+unix:///?socket=/no/socket: connect: No such file or directory" \
  $ctl push a 'nbd+unix:///?socket=/no/socket'
truncate -s 1M short.raw
said "push: the destination has 1048576 bytes: expected at least the disk's \
size, 33554432" $ctl push a short.raw
refused $ctl push a old.raw --format nonsense
grep -q "Unknown driver 'nonsense'" refused
said "jobs: nonsense: expected cancel JOB... or wait JOB..." $ctl jobs nonsense
said "jobs: there is no job 12345 (ENOENT)" $ctl jobs cancel 12345
refused $ctl jobs wait 12345
$ctl push a old.raw --json >json
job=$(sed -n 's/.*"job": \([0-9]*\).*/\1/p' json)
# One that the server has forgotten, or never knew, is no reason to end.
refused $ctl jobs wait 12345 "$job" --json
grep -q '"there is no job 12345' refused
grep -q '"state": "done"' refused
said "jobs: JOB x: expected a number from 1 to 9223372036854775807" \
  $ctl jobs wait "$job" x

step "Interrupted: the job is cancelled, and nothing is left"
$ctl push a slow.raw --rate 1 2>slow.err &
slow=$!
for ((i = 0; i < 3000; i++)); do
  $ctl jobs >jobs
  grep -q copying jobs && break
  pause 0.02
done
grep -q copying jobs || fail "it does not copy: $(cat jobs)"
[ -e slow.raw ] || fail "there is no file"
kill -INT $slow
refused wait $slow
check "what it says" "$(cat slow.err)" "mblockctl: push: the job was cancelled"
[ ! -e slow.raw ] || fail "a part of a file is left"
! $ctl jobs --json | grep -q '"running"' || fail "the job still runs"
! ls -d mblockctl-* 2>/dev/null || fail "a folder is left"

step "A limit of the rate"
python <<'END'
import subprocess
connect("limited").pwrite(pattern(4 * MiB), 0)
began = time.monotonic()
subprocess.run([os.environ["abs_top_builddir"] + "/mblockctl", "push",
                "limited", "limited.raw", "--rate", "1M"], check=True)
not_before("a push", began, 2.5)
END

step "In the background"
start_server d "$mramdisk" size=32M
job=$($ctl push a "$(uri a d)" --detach)
$ctl jobs wait "${job#job }"
nbdcopy "$(uri a d)" copy
cmp copy tuesday.raw

step "A full push that was interrupted is known to those that follow"
head -c 32M /dev/urandom >again.raw
nbdcopy again.raw "$(uri a)"
$ctl push a again.raw --quiet
$ctl clone a before
python <<'END'
h = connect("a")
for i in range(32):
    h.pwrite(pattern(MiB, i), i * MiB)
END
$ctl push a again.raw --rate 4M 2>again.err &
slow=$!
for ((i = 0; i < 3000; i++)); do
  sent=$($ctl jobs --json | python3 -c '
import json, sys
print(max([j["bytes_sent"] for j in json.load(sys.stdin)["jobs"]
           if j["state"] == "running"] or [0]))')
  [ "$sent" -lt 2000000 ] || break
  pause 0.02
done
kill -INT $slow
refused wait $slow
check "what it says" "$(cat again.err)" "mblockctl: push: the job was cancelled"
$ctl clone before a --replace --quiet
python <<'END'
connect("a").pwrite(b"one page", 0)
END
$ctl push a again.raw --since before --quiet
nbdcopy "$(uri a)" now.raw
cmp now.raw again.raw || fail "the file is not the disk"
