#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# When the server refuses, is not there or does not behave: one line of error
# and the exit code that mblockctl(1) promises.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
export MBLOCK_SOCKET=$tmp/s

# 1: refused.
status 1 create golden 1G
error_has 'the disk "golden" exists already (EEXIST)'
out_empty
status 1 info nope
error_has 'mblockctl: info: there is no disk "nope" (ENOENT)'
status 1 info nope --json
error_has 'ENOENT'
json 'r[0]["name"] == "nope" and r[0]["error"]["code"] == -32000 and
      r[0]["error"]["message"] == "there is no disk \"nope\" (ENOENT)"'
status 1 info nope idle
error_has 'nope'
out_has 'Name          idle'     # one bad name does not hide the others
status 1 create x 1.5k --sector-size 1k
error_has 'create: x: SIZE 1.5k: expected a multiple of the sector size, 1024 (E'
status 1 create x 1.5k --sector-size 1k --json
json 'r["error"]["data"] == {"errno": "EINVAL"}'
status 1 destroy nope idle
error_has 'nope'
out_is 'destroyed idle'         # the others are done all the same
status 1 clone golden busy new
error_has '"busy" exists already'
out_is 'cloned new'
status 1 clone golden busy other --json
json '[d["name"] for d in r] == ["busy", "other"] and "error" in r[0]'

# Disks in use are protected.
for command in 'destroy busy' 'create busy 1G --replace' \
               'clone golden busy --replace' 'resize busy 1M'; do
  status 1 $command
  error_has 'the disk "busy" is in use by 2 clients (unix, pid 4711, uid 0; '
  error_has '; --force does it all the same'
  out_empty
done
status 1 destroy nope
error_has '; --ignore-missing goes on without'
status 1 set busy --quota 1M
error_has 'set: --quota 1M: the disk "busy" owns 5242880 bytes already (EDQUOT)'
error_has '; --force sets it all the same'
status 0 set busy --quota 1M --force
status 0 resize busy 1M --force
status 1 destroy 'nope-*' busy --json
json '[d["name"] for d in r] == ["nope-*", "busy"] and
      r[1]["error"]["data"]["errno"] == "EBUSY"'
status 1 destroy 'nope-*'
error_has 'no disk matches nope-*'
status 0 destroy 'nope-*' --ignore-missing
out_empty
status 1 list nope
error_has 'no disk matches'
status 1 list nope --json
json 'r["disks"] == []'
status 1 reset golden
error_has 'the disk "golden" has no parent: it is not a clone'
status 1 rename golden busy
error_has 'rename: there is a disk "busy" already (EEXIST)'
status 1 resize golden -11G
error_has 'expected at most that'
status 1 resize golden +9223372036854775807
error_has 'over 2^63-1 bytes'
status 1 call nope
error_has 'unknown method nope'
status 1 methods nope

# 1: the output cannot be written.
if [ -w /dev/full ]; then
  shown='mblockctl list >/dev/full'
  "$ctl" list >/dev/full 2>"$tmp/err"
  [ $? = 1 ] || wrong "expected exit code 1"
  error_has 'cannot write to standard output: No space left on device'
fi

# 3: nobody there.
status 3 -s "$tmp/none" list
error_has "cannot connect to $tmp/none: there is no such socket"
status 3 -s "$tmp/none" list --json
json 'r["error"]["exit_code"] == 3 and "no such socket" in
      r["error"]["message"]'
echo > "$tmp/file"
status 3 -s "$tmp/file" list
error_has 'no server listens there'
python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$tmp/dead"
status 3 -s "$tmp/dead" list
error_has 'no server listens there'
status 3 -s "$tmp/$(printf '%0120d' 0)" list
error_has 'longer than 107 bytes'
status 3 -s "$tmp/none" top
error_has 'no such socket'
status 3 -s "$tmp/none" watch

# 3, or 1 if it is a refusal: a server that goes wrong.
try () {
  local mode=$1 expected=$2 text=$3
  start_fake "$mode" "$mode"
  status "$expected" -s "$tmp/$mode" --timeout 60 list
  error_has "$text"
  out_empty
}
try busy 1 'too many clients'
try garbage 3 'not JSON'
try array 3 'not a JSON object'
try hangup 3 'closed the connection'
try partial 3 'closed the connection in mid-answer'
try wrong-id 3 'another request'
try no-result 3 'no result'
try no-members 3 'no valid "disks"'
try circle 3 'do not advance'
start_fake silent silent
status 3 -s "$tmp/silent" --timeout 0.2 list
error_has 'did not answer in time'
start_fake long long
status 3 -s "$tmp/long" list
error_has 'longer than 64 MiB'
for command in version 'info a' stats map\ a metrics methods watch 'top --once'
do
  status 3 -s "$tmp/hangup" $command
  error_has 'closed the connection'
done
for command in version 'resize a 1' 'resize a +1' stats 'stats a' 'map a' \
               metrics methods 'set a -r' 'extents a' 'diff a b' 'info a' \
               'top --once'
do
  status 3 -s "$tmp/no-members" $command
  error_has 'no valid'
done

# A slow server is only slow.
start_fake slow slow=0.3
status 0 -s "$tmp/slow" --timeout 20 version
status 0 -s "$tmp/slow" --timeout 0 version
no_error

# The shortest time is not "for ever".
shown='mblockctl --timeout 0.0000001'
timeout 60 "$ctl" -s "$tmp/silent" -t 0.0000001 version >"$tmp/out" 2>"$tmp/err"
[ $? = 3 ] || wrong "expected the exit code 3"

# A standard file that is closed is not taken for the socket: nothing that is
# printed goes to the server.
for command in list 'info golden busy' 'list --json' --help; do
  shown="mblockctl $command >&-"
  "$ctl" $command >&- 2>"$tmp/err" </dev/null
  [ $? = 1 ] || wrong "expected the exit code 1"
  error_has 'cannot write to standard output'
  shown="mblockctl $command <&- >&- 2>&-"
  "$ctl" $command <&- >&- 2>&-
  [ $? = 1 ] || wrong "expected the exit code 1"
done
shown='mblockctl list <&- 2>&-'
"$ctl" list --names >"$tmp/out" <&- 2>&- || wrong "expected success"
out_has golden

# wait-ready: not in time; in time; not our server.
status 3 -s "$tmp/none" wait-ready --timeout 0.3
error_has 'not in time'
status 3 -s "$tmp/silent" wait-ready --timeout 0.3
error_has 'not in time'
status 3 -s "$tmp/none" wait-ready --timeout 0.3 --json
json 'r["error"]["exit_code"] == 3 and "not in time" in r["error"]["message"]'
status 3 -s "$tmp/garbage" wait-ready --timeout 30
error_has 'not JSON'
python3 "$tests/fake-control.py" "$tmp/late" late=0.5 &
pids+=($!)
status 0 -s "$tmp/late" wait-ready --timeout 60
no_error
status 0 -s "$tmp/late" wait-ready --json
json 'r["name"] == "mramdisk"'

exit $rc
