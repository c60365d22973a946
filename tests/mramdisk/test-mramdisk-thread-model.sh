#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# parallel= decides whether requests of a connection run concurrently.

. "$(dirname "$0")/../functions.sh"

requires_filter nofilter delay
# As the server itself tells it with -v.
model_of_server ()
{
  local expected=$1
  shift
  start_server s -v "$@"
  check "thread model of nbdkit $*" \
    "$(sed -n 's/.*debug: using thread model: //p' s.log)" "$expected"
  stop_server s
}
check "the most there is" "$(nbdkit "$mramdisk" --dump-plugin |
  sed -n 's/^max_thread_model=//p')" parallel
model_of_server serialize_requests "$mramdisk"
model_of_server serialize_requests "$mramdisk" parallel=auto
model_of_server serialize_requests "$mramdisk" parallel=no
model_of_server parallel "$mramdisk" parallel=yes
model_of_server parallel --filter=nofilter "$mramdisk"
model_of_server parallel --filter=delay "$mramdisk" parallel=auto delay-read=0
model_of_server serialize_requests --filter=nofilter "$mramdisk" parallel=no
