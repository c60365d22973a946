#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Wrong parameters of the filter: exactly one line, with the key as it was
# typed, and nothing is started.

. "$(dirname "$0")/filter-functions.sh"

u=mnbd=nbd+unix:///?socket=/nonexistent
f=mnbd-mode=forward
no ()
{
  local expected=$1
  shift
  filter_refused "$expected" "$mramdisk" size=1M "$@"
}

step "the mode"
no 'mnbd-mode is not given: expected mnbd-mode=forward' "$u"
no 'mnbd-mode=backwards: expected forward' "$u" mnbd-mode=backwards
no 'mnbd-mode=: expected forward' "$u" mnbd-mode=

step "the upstream"
no 'none of mnbd=, mnbd-socket=, mnbd-hostname=' $f
no 'several of mnbd=, mnbd-socket=, mnbd-hostname=' $f "$u" mnbd-socket=/x
no 'mnbd-port=1: expected mnbd-hostname= or mnbd-vsock= with it' $f "$u" \
  mnbd-port=1
no 'mnbd-export=a: expected no mnbd-dynamic-export=true with it' $f "$u" \
  mnbd-export=a mnbd-dynamic-export=true
no 'mnbd-dynamic-export=true: expected no mnbd-shared=true' $f "$u" \
  mnbd-dynamic-export=true mnbd-shared=true
no 'mnbd-arg=x: expected mnbd-command= before' $f mnbd-arg=x
no 'mnbd-command=y: expected only one mnbd-command=' $f mnbd-command=x \
  mnbd-command=y
no 'mnbd-connections=0: expected a number from 1 to 64' $f "$u" \
  mnbd-connections=0
no 'mnbd-reconnect=soon: expected a time' $f "$u" mnbd-reconnect=soon
no 'mnbd-replay-buffer=1: expected 0, or a size' $f "$u" mnbd-replay-buffer=1
no 'mnbd-tls=perhaps: expected off, on or require' $f "$u" mnbd-tls=perhaps
no 'mnbd-socket=: expected a path' $f mnbd-socket=
no 'mnbd-socket=/' $f mnbd-socket="$(printf 'x%.0s' {1..120})"

step "which exports"
no 'mnbd-exports=a*: expected the name of one export, or *, or mnbd-dynamic' \
  $f "$u" 'mnbd-exports=a*'

step "the control socket"
no 'mnbd-control=: expected the path' $f "$u" mnbd-control=
no 'mnbd-control=' $f "$u" mnbd-control="$(printf 'x%.0s' {1..120})"
no 'mnbd-control-mode=999: expected an octal' $f "$u" mnbd-control=c \
  mnbd-control-mode=999
no 'mnbd-control-mode=600: expected mnbd-control= with it' $f "$u" \
  mnbd-control-mode=600
no 'mnbd-control=/nonexistent/c: ' $f "$u" mnbd-control=/nonexistent/c

step "both sides are the same disk"
for mode in mirror cache; do
  same="mnbd-mode=$mode: the plugin's upstream and the filter's are the same, "
  filter_refused "${same}nbd://localhost/x" "$builddir/mnbd.so" \
    nbd://localhost/x mnbd=nbd://localhost/x mnbd-mode=$mode
  filter_refused "$same$tmp/a" "$builddir/mnbd.so" socket=a export=b \
    mnbd-socket="$tmp/a" mnbd-export=b mnbd-mode=$mode
  filter_refused "${same}host" "$builddir/mnbd.so" hostname=host port=10809 \
    mnbd-hostname=host mnbd-mode=$mode
done

step "what is another mode's"
no 'mnbd-rate=1M: expected mnbd-mode=mirror with it' $f "$u" mnbd-rate=1M
no 'mnbd-cache=writeback: expected mnbd-mode=cache with it' "$u" \
  mnbd-mode=mirror mnbd-cache=writeback mnbd-rate=1M
no 'mnbd-rate=1M: expected mnbd-mode=mirror with it' "$u" \
  mnbd-rate=1M mnbd-cache=writeback mnbd-mode=cache

step "what nobody knows"
no 'unknown parameter mnbd-nosuch=1: expected mnbd, or mnbd- with mode' \
  $f "$u" mnbd-nosuch=1
no 'unknown parameter mnbd-=1: ' $f "$u" mnbd-=1

step "what is not ours is the plugin's"
no 'unknown parameter mnbdnosuch=1: expected size' $f "$u" mnbdnosuch=1
no 'unknown parameter uri=1: expected size' $f "$u" uri=1
