#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Bad parameters of the filter: exactly one line, with the key as typed, and
# nothing starts.

. "$(dirname "$0")/../filter-functions.sh"

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
no 'more than one of mnbd=, mnbd-socket=, mnbd-hostname=' $f "$u" mnbd-socket=/x
no 'mnbd-port=1: expected mnbd-hostname= or mnbd-vsock= instead of mnbd=' $f \
  "$u" mnbd-port=1
no 'mnbd-export=a: cannot be used with mnbd-dynamic-export=true' $f "$u" \
  mnbd-export=a mnbd-dynamic-export=true
no 'mnbd-dynamic-export=true: cannot be used with mnbd-shared=true' $f "$u" \
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

no 'mnbd=: expected the URI of an NBD server' $f mnbd=
no 'mnbd=/x.sock: expected the URI' $f mnbd=/x.sock
no 'mnbd=host:10809: expected the URI' $f "$u" mnbd=host:10809
no 'mnbd-tls-certificates=/nonexistent: expected a folder' $f "$u" \
  mnbd-tls-certificates=/nonexistent
no 'mnbd-tls-psk=/nonexistent: expected a file' $f "$u" \
  mnbd-tls-psk=/nonexistent
no 'mnbd-socket-fd=99: expected an open socket' $f mnbd-socket-fd=99

step "which exports"
for glob in '[a' 'x[' '[]' '[!]a' '[[:alpha:]' 'a[b\]' '[a]['; do
  no "mnbd-exports=$glob: expected a ] after the [" $f "$u" \
    mnbd-dynamic-export=true "mnbd-exports=$glob"
done
no 'mnbd-exports=a\: expected a character after the last \' $f "$u" \
  mnbd-dynamic-export=true 'mnbd-exports=a\'
no 'mnbd-exports=\xff: expected a pattern in UTF-8' $f "$u" \
  mnbd-dynamic-export=true $'mnbd-exports=\xff'
no 'mnbd-exports=[z-a]: expected a range' $f "$u" \
  mnbd-dynamic-export=true 'mnbd-exports=[z-a]'
no 'mnbd-exports=[[:nosuch:]]: expected a class' $f "$u" \
  mnbd-dynamic-export=true 'mnbd-exports=[[:nosuch:]]'
for glob in '[]]' '[!]]' '[[:alpha:]]' '[a\]]' '\[a' ']' '[[]' 'a\\'; do
  nbdkit -U - --filter="$filter" "$mramdisk" size=1M $f "$u" \
    mnbd-dynamic-export=true "mnbd-exports=$glob" --run true ||
    fail "mnbd-exports=$glob is refused"
done
no 'mnbd-exports=a*: expected the name of one export, or *, or mnbd-dynamic' \
  $f "$u" 'mnbd-exports=a*'

step "the control socket"
no 'mnbd-control=: expected the path' $f "$u" mnbd-control=
no 'mnbd-control=' $f "$u" mnbd-control="$(printf 'x%.0s' {1..120})"
no 'mnbd-control-mode=999: expected an octal' $f "$u" mnbd-control=c \
  mnbd-control-mode=999
no 'mnbd-control-mode=600: expected mnbd-control= as well' $f "$u" \
  mnbd-control-mode=600
no 'mnbd-control-group=no such: expected the name or the number of a group' \
  $f "$u" mnbd-control=c mnbd-control-group='no such'
no 'mnbd-control-group=0: expected mnbd-control= as well' $f "$u" \
  mnbd-control-group=0
no 'mnbd-control=/nonexistent/c: there is no such folder' $f "$u" \
  mnbd-control=/nonexistent/c

step "the filter twice"
no '--filter=mnbd is given twice: expected once' --filter="$filter" $f "$u"
no '--filter=mnbd is given several times: expected once' --filter="$filter" \
  --filter="$filter" $f "$u"

step "both disks are the same"
for mode in mirror cache; do
  same="mnbd-mode=$mode: the plugin and the filter use the same upstream, "
  filter_refused "${same}nbd://localhost/x" "$builddir/mnbd.so" \
    nbd://localhost/x mnbd=nbd://localhost/x mnbd-mode=$mode
  filter_refused "${same}nbd://localhost/x" "$builddir/mnbd.so" \
    nbd://localhost/x mnbd=nbd://localhost/x mnbd-export=x mnbd-mode=$mode
  filter_refused "$same$tmp/a" "$builddir/mnbd.so" socket=a export=b \
    mnbd-socket="$tmp/a" mnbd-export=b mnbd-mode=$mode
  filter_refused "${same}host" "$builddir/mnbd.so" hostname=host port=10809 \
    mnbd-hostname=host mnbd-mode=$mode
  for i in 1 2; do
    filter_refused "${same}nbd://localhost/$i" "$builddir/mnbd.so" \
      nbd://localhost/1 uri=nbd://localhost/2 mnbd=nbd://localhost/3 \
      mnbd=nbd://localhost/$i mnbd-mode=$mode
  done
  filter_refused "${same}vsock 2 port 10809" "$builddir/mnbd.so" cid=2 \
    port=10809 mnbd-vsock=2 mnbd-mode=$mode
  filter_refused "${same}socket-fd 9" "$builddir/mnbd.so" socket-fd=9 \
    mnbd-socket-fd=9 mnbd-mode=$mode 9<>/dev/udp/127.0.0.1/9
done

step "a folder of nbdkit's file plugin, which would crash"
mkdir folder
for mode in mirror cache; do
  for key in dir directory; do
    filter_refused "mnbd-mode=$mode: $key=folder: expected file=" file \
      $key=folder "$u" mnbd-mode=$mode
  done
done
nbdkit -U - --filter="$filter" file dir=folder "$u" $f --run true ||
  fail "dir= is refused in the mode forward"

step "what is another mode's"
no 'mnbd-rate=1M: expected mnbd-mode=mirror as well' $f "$u" mnbd-rate=1M
no 'mnbd-cache=writeback: expected mnbd-mode=cache as well' "$u" \
  mnbd-mode=mirror mnbd-cache=writeback mnbd-rate=1M
no 'mnbd-rate=1M: expected mnbd-mode=mirror as well' "$u" \
  mnbd-rate=1M mnbd-cache=writeback mnbd-mode=cache

step "what nobody knows"
no 'unknown parameter mnbd-nosuch=1: expected mnbd, or mnbd- with mode' \
  $f "$u" mnbd-nosuch=1
no 'unknown parameter mnbd-=1: ' $f "$u" mnbd-=1

step "what is not ours is the plugin's"
no 'unknown parameter mnbdnosuch=1: expected size' $f "$u" mnbdnosuch=1
no 'unknown parameter uri=1: expected size' $f "$u" uri=1
