#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Impossible combinations for a cache are refused when nbdkit starts, in one
# line.

. "$(dirname "$0")/../cache-functions.sh"

requires_filter blocksize-policy
m=mnbd-mode=cache
u="mnbd=$(sock_of u)"
start_server u "$mramdisk" size=8M

step "a plugin that is smaller than the upstream"
pair_refused 'the plugin has 4194304 bytes, but the upstream has 8388608' \
  "$mramdisk" size=4M $m "$u"
pair_refused 'the plugin has 8388607 bytes, but the upstream has 8388608' \
  memory 8388607 $m "$u"

step "a plugin that is read-only"
pair_refused 'mnbd-mode=cache: export "d": the plugin'"'s export is read-only" \
  "$mramdisk" disk=d,size=8M,readonly=true default=d $m "$u"

step "an upstream whose end cannot be read"
start_server odd --filter=blocksize-policy memory 1000000 \
  blocksize-minimum=4096 blocksize-preferred=4096
pair_refused 'the upstream has 1000000 bytes: expected a multiple of its' \
  "$mramdisk" size=8M $m "mnbd=$(sock_of odd)"

step "an upstream that is not there"
pair_refused '/nosuch' "$mramdisk" size=8M $m \
  "mnbd=nbd+unix:///?socket=$tmp/nosuch"

step "parameters"
filter_refused 'mnbd-cache=sometimes: expected writethrough or writeback' \
  "$mramdisk" size=8M $m "$u" mnbd-cache=sometimes
for key in mnbd-cache-max mnbd-cache-dirty-max; do
  for value in "" -1 1 1023k much 1Q 999999999T; do
    filter_refused "$key=$value: expected a size of at least 1M" \
      "$mramdisk" size=8M $m "$u" mnbd-cache=writeback $key=$value
  done
done
for value in "" 0 -1 soon 1.5 86401; do
  filter_refused \
    "mnbd-cache-dirty-age=$value: expected a number of seconds from 1 to" \
    "$mramdisk" size=8M $m "$u" mnbd-cache=writeback \
    mnbd-cache-dirty-age="$value"
done
filter_refused \
  'mnbd-cache-dirty-max=1M: expected mnbd-cache=writeback as well' \
  "$mramdisk" size=8M $m "$u" mnbd-cache-dirty-max=1M
filter_refused 'mnbd-cache-dirty-age=1: expected mnbd-cache=writeback as well' \
  "$mramdisk" size=8M $m "$u" mnbd-cache-dirty-age=1
filter_refused \
  'mnbd-cache-dirty-max=2M: expected at most half of mnbd-cache-max' \
  "$mramdisk" size=8M $m "$u" mnbd-cache=writeback mnbd-cache-max=3M \
  mnbd-cache-dirty-max=2M
filter_refused 'mnbd-cache-max=1M: expected mnbd-mode=cache as well' \
  "$mramdisk" size=8M mnbd-mode=forward "$u" mnbd-cache-max=1M
