#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Parameters that contradict each other or the URI are refused at the start, by
# the plugin and by the filter, in one line that names both and their values.
# To ignore one of them could mean the wrong disk.

. "$(dirname "$0")/../mnbd-functions.sh"
only_mnbd

# starts PARAMETERS…: sets $rc and writes $tmp/out.
starts ()
{
  forwarder "$@"
  rc=0
  timeout 60 nbdkit -U - "${forwarder[@]}" --run 'echo it has started' \
    >out 2>&1 </dev/null || rc=$?
}

# no LINE PARAMETERS…: nothing starts, and the line begins so.
no ()
{
  local line="nbdkit: error: $1"
  shift
  starts "$@"
  [ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "$*: status $rc: $(cat out)"
  check "lines about $*" "$(wc -l <out)" 1
  [[ $(cat out) == "$line"* ]] || fail "$*: $(cat out), expected $line"
}

yes ()
{
  starts "$@"
  [ $rc -eq 0 ] || fail "$*: $(cat out)"
  check "output of $*" "$(cat out)" "it has started"
}

# both A B [PARAMETERS…]: refused in either order, with both in the line.
both ()
{
  local a=$1 b=$2 c turn
  shift 2
  for turn in 1 2; do
    starts "$a" "$b" "$@"
    [ $rc -ne 0 ] && [ $rc -ne 124 ] || fail "$a $b: status $rc: $(cat out)"
    check "lines about $a $b" "$(wc -l <out)" 1
    grep -qF -- "${a#uri=}" out && grep -qF -- "${b#uri=}" out ||
      fail "$a $b: $(cat out)"
    c=$a a=$b b=$c
  done
}

all ()
{
  local u=uri=nbd://localhost s=socket=/nonexistent i j
  local ways=("$u" "$s" hostname=h vsock=3 command=c socket-fd=9)

  step "two servers"
  for ((i = 0; i < ${#ways[@]}; i++)); do
    for ((j = i + 1; j < ${#ways[@]}; j++)); do
      both "${ways[i]}" "${ways[j]}"
    done
  done
  both "$u" cid=3
  for i in "$u" "$s" command=c socket-fd=9; do
    both port=1 "$i"
  done

  step "the export"
  no "${p}export=foo: cannot be used with $uri=nbd://localhost" "$u" export=foo
  no "${p}export=foo: cannot be used with $uri=nbd://localhost/bar" \
    uri=nbd://localhost/bar export=foo
  no "${p}export=: cannot be used with $uri=nbd://localhost/bar" \
    export= uri=nbd://localhost/bar
  no "${p}export=a: cannot be used with $uri=nbd://localhost/b" \
    uri=nbd://localhost/a uri=nbd://localhost/b export=a
  no "${p}export=a: cannot be used with ${p}dynamic-export=true" "$s" export=a \
    dynamic-export=true
  no "${p}export=a: cannot be used with ${p}dynamic-export=1" "$s" export=a \
    dynamic-export=1
  no "${p}dynamic-export=true: cannot be used with $uri=nbd://localhost/a" \
    dynamic-export=true uri=nbd://localhost/a
  both dynamic-export=true shared=true "$s"
  both dynamic-export=true command=c
  both dynamic-export=true socket-fd=9
  both shared=false command=c
  both shared=no socket-fd=9

  step "TLS"
  no "${p}tls-username=bob: cannot be used with $uri=nbds://alice@localhost" \
    uri=nbds://alice@localhost tls-username=bob
  no "${p}tls=off: cannot be used with $uri=nbds://localhost" \
    uri=nbds://localhost tls=off
  no "${p}tls=0: cannot be used with $uri=nbds+vsock://2/" \
    uri=nbds+vsock://2/ tls=0
  mkdir -p certificates
  touch keys
  both tls-psk=keys tls-certificates=certificates "$s"
  both tls-psk=keys tls-certificates=certificates "$s" tls=require
  both tls-psk=keys tls-hostname=h "$s"
  both tls-verify=false tls-hostname=h "$s"

  step "twice, with different values"
  both socket=/a socket=/b
  both hostname=a hostname=b
  both vsock=2 vsock=3
  both vsock=2 cid=3
  both port=1 port=2 hostname=h
  both socket-fd=8 socket-fd=9
  both export=a export=b "$s"
  both dynamic-export=true dynamic-export=false "$s"
  both shared=true shared=false "$s"
  both tls=on tls=require "$s"
  both tls=on tls=off "$s"
  both tls-verify=true tls-verify=false "$s"
  both tls-username=a tls-username=b "$s"
  both tls-certificates=certificates tls-certificates=/tmp "$s"
  both tls-psk=keys tls-psk=/dev/null "$s"

  step "what agrees"
  yes uri=nbd://localhost/a%20b "export=a b"
  yes uri=nbd://localhost/ export=
  yes uri=nbd://localhost/a uri=nbd://localhost/b
  yes "$u" "$u"
  yes "$u" dynamic-export=true
  yes uri=nbd://localhost/a dynamic-export=false
  yes uri=nbds://alice@localhost tls-username=alice
  yes uri=nbds://localhost tls=on
  yes uri=nbds://localhost tls=require tls-username=alice
  yes "$u" tls=require
  yes "$s" tls=off tls-psk=/nonexistent tls-certificates=/nonexistent
  yes "$s" "$s" export=a export=a dynamic-export=no dynamic-export=0
  yes "$s" connections=1 connections=2 reconnect=1 reconnect=2 retry=1 retry=2 \
    connect-timeout=1 connect-timeout=2 request-timeout=1 request-timeout=2 \
    replay-buffer=0 replay-buffer=64K

  step "a URI that cannot work"
  local unix=nbds+unix:///?socket=/s
  instead ()
  {
    no "$uri=$unix&$1: expected no ${1%%=*}= in the URI: use $p$2 instead" \
      "uri=$unix&$1"
  }
  instead tls-psk-file=/k tls-psk=/k
  instead tls-certificates=/c tls-certificates=/c
  instead tls-verify-peer=0 tls-verify=0
  no "$uri=$unix&no=1: expected no no= in the URI: only socket= is supported" \
    "uri=$unix&no=1"
  no "$uri=nbd+unix://disk?socket=/s: expected no host in the URI" \
    "uri=nbd+unix://disk?socket=/s"
  no "$uri=nbd+unix:///: expected socket=PATH in the URI" uri=nbd+unix:///
  no "$uri=nbd+vsock://host/: expected a CID" uri=nbd+vsock://host/
  no "$uri=nbd://h:0: expected a port from 1 to 65535" uri=nbd://h:0
  no "$uri=nbd://:1/: expected a host before the port" uri=nbd://:1/
  no "$uri=nbd://h/a#1: expected %23" uri=nbd://h/a#1
  no "$uri=nbd://h/%zz: expected two hexadecimal digits" uri=nbd://h/%zz
  # The second of a list, too.
  no "$uri=nbd://h:0: expected a port from 1 to 65535" "$u" uri=nbd://h:0

  step "a server that cannot be"
  for i in 0 65536 99999999999 -1 1.5 nosuchservice ''; do
    no "${p}port=$i: expected a port from 1 to 65535" hostname=h port=$i
  done
  yes hostname=h port=65535
  no "${p}port=x: expected a number" vsock=2 port=x
  no "${p}hostname=: expected the name" hostname=
  no "${p}command=: expected a program" command=
  i=$(printf 'x%.0s' {1..4097})
  no "${p}export=xxx" "$s" "export=$i"
  yes "$s" "export=${i:1}"
}

# $p is before the names of the filter's parameters, and $uri is the URI's name.
for plugin in "$builddir/mnbd.so" filter; do
  echo "with $plugin:"
  case $plugin in
    filter) p=mnbd- uri=mnbd;;
    *) p='' uri=uri;;
  esac
  all
done

step "the filter's own"
for i in exports=a,b control=/a,/b control-mode=600,700 control-group=0,1; do
  key=mnbd-${i%%=*} values=${i#*=}
  rc=0
  nbdkit -U - --filter="$filter" "$mramdisk" size=1M mnbd-mode=forward \
    mnbd-socket=/x mnbd-control="$tmp/c" "$key=${values%,*}" \
    "$key=${values#*,}" --run true >out 2>&1 || rc=$?
  [ $rc -ne 0 ] || fail "$key twice: it has started"
  grep -q "^nbdkit: error: $key=.*: cannot be used with $key=.*: give only one" \
    out || fail "$key: $(cat out)"
done
