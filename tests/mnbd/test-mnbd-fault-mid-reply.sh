#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that dies within a reply, or sends an invalid one: mnbd reconnects,
# and the client does not notice.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

try ()
{
  tell u clear
  tell u fault "$1"
  python <<END
h = connect()
h.pwrite(pattern(100000), 5000)
check("$1", h.pread(100000, 5000), pattern(100000))
h.zero(4096, 8192)
h.flush()
check("$1, again", h.pread(100000, 5000),
      pattern(100000)[:3192] + bytes(4096) + pattern(100000)[7288:])
END
  grep -qF "\"fault\": \"$1\"" u.jsonl || fail "$1 did not happen"
}

# The server does not keep to the protocol: one line of the log says how.
wrong ()
{
  local text="broke the protocol: $2" before after
  before=$(grep -c "$text" s.log || :)
  try "$1"
  after=$(grep -c "$text" s.log || :)
  check "lines \"$text\" for $1" $((after - before)) 1
}

for replies in structured simple; do
  fault_server u
  [ $replies = structured ] || tell u set structured=no
  start_forwarder socket="$tmp/u.sock" reconnect=30
  for bytes in 0 1 4 15 16 17 20 28 29 5000 99999; do
    step "$replies, read, $bytes bytes of the reply"
    try on=read,do=partial,times=2,bytes=$bytes
  done
  for cmd in write zero flush; do
    step "$replies, $cmd"
    try on=$cmd,do=partial,times=2,bytes=7
    try on=$cmd,do=close,times=2
    wrong on=$cmd,do=cookie,times=1 'it answered a request that was not sent'
    wrong on=$cmd,do=magic,times=1 'it sent something that is not a reply'
    wrong on=$cmd,do=garbage,then=stay,times=1 \
      'it sent something that is not a reply'
    try on=$cmd,do=garbage,then=close,times=1
    try on=$cmd,do=down,ms=300,times=1
  done
  stop_server s
  end_fault_server u
done
