# SPDX-License-Identifier: BSD-3-Clause
# What the scripts of real systems share; ../README.md tells what they prove.
# To be sourced by bash, which hands the script's arguments on.  Before that,
# the script defines the function about, which prints what the script proves,
# check_options, which refuses wrong values, and these variables:
#
#   packages   groups of scripts/prepare.sh's table
#   count      how often, by default, and counts: what that is
#   options    more options of the script, each NAME=DEFAULT|WHAT IT IS
#
# On the way out of here, count and those options are set, $tmp is the current
# folder, and all of ../functions.sh can be used.

# A process elsewhere that makes a mount namespace has a copy of each mount
# here, which keeps it busy.  So they are made in one that has no copies.
if [ -z "${MBLOCK_NAMESPACE-}" ] && unshare --mount true 2>/dev/null; then
  MBLOCK_NAMESPACE=1 exec unshare --mount "$BASH" "$0" "$@"
fi
unset MBLOCK_NAMESPACE

real=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$real/../.." && pwd)
me=tests/real/${0##*/}
began=$SECONDS
. "$top/scripts/prepare.sh"

real_usage ()
{
  local option name argument text
  printf 'Usage: %s [OPTION...]\n\n' "$me"
  about
  printf '\n  %-15s %s (default: %s)\n' "--count N" "$counts" "$count"
  for option in "${options[@]}"; do
    IFS='|' read -r name argument text <<<"$option"
    printf '  %-15s %s\n' "--${name%%=*} $argument" "$text"
    [ -z "${name#*=}" ] || printf '%18s(default: %s)\n' '' "${name#*=}"
  done
  cat <<END
  --build FOLDER  use what was built there, and install nothing.  Otherwise, the
                  missing packages of Debian are installed, and the tree is
                  built in build/
  --installed     use the plugins, the filter and mblockctl that are installed
                  on the system; what else is missing is installed
  --help          this text

Needs root.  All is done in temporary folders, and every process is ended.  The
last line is a summary.  The exit status is 77 if something is missing.
END
}

option_value ()
{
  local value=${1%%|*}
  echo "${value#*=}"
}

for option in "${options[@]}"; do
  printf -v "${option%%=*}" '%s' "$(option_value "$option")"
done
build='' installed=false
while [ $# -gt 0 ]; do
  case $1 in
    --help|-h) real_usage; exit 0 ;;
    --installed) installed=true; shift; continue ;;
    --count|--build) known=${1#--} ;;
    *)
      known=
      for option in "${options[@]}"; do
        [ "$1" != "--${option%%=*}" ] || known=${option%%=*}
      done
      [ -n "$known" ] || die "unknown argument '$1'; --help lists them" ;;
  esac
  [ -n "${2-}" ] || die "$1: expected a value after it"
  printf -v "$known" '%s' "$2"
  shift 2
done

# check_number OPTION MOST
check_number ()
{
  [[ ${!1} =~ ^[1-9][0-9]{0,5}$ ]] && [ "${!1}" -le "$2" ] ||
    die "--$1 '${!1}': expected a number from 1 to $2"
}
check_number count 999999
check_options
if [ -n "$build" ]; then
  [ -e "$build/mramdisk.so" ] || die "--build $build: expected mramdisk.so there"
  abs_top_builddir=$(cd "$build" && pwd)
else
  echo "Install what is missing"
  if $installed; then
    packages_install $packages
    # ../functions.sh finds what is installed as if it had been built.
    abs_top_builddir=$(mktemp -d)
    eval "$(nbdkit --dump-config | grep -E '^(plugin|filter)dir=')"
    for name in mramdisk mnbd; do
      ln -s "$plugindir/nbdkit-$name-plugin.so" "$abs_top_builddir/$name.so"
    done
    ln -s "$filterdir/nbdkit-mnbd-filter.so" "$abs_top_builddir/mnbd-filter.so"
    ln -s "$(command -v mblockctl)" "$abs_top_builddir/mblockctl"
    links=$abs_top_builddir
  else
    packages_install build test $packages
    echo "Build"
    build_in build
    abs_top_builddir=$top/build
  fi
fi

. "$top/tests/functions.sh"
[ -z "${links-}" ] || folders+=("$links")
mnbd=$builddir/mnbd.so
filter=$builddir/mnbd-filter.so
mkdir bin dev mnt
ln -s "$builddir/mblockctl" bin/mblockctl
PATH=$tmp/bin:$PATH
export MBLOCK_SOCKET=$tmp/control
chmod 711 "$tmp"

# The last line.
summary ()
{
  printf '%s: %s; %d s\n' "$me" "$*" $((SECONDS - began))
}

# until_true SECONDS WHAT COMMAND…: wait for it.
until_true ()
{
  local end=$((SECONDS + $1)) seconds=$1 what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "$what: not within $seconds seconds"
    sleep 0.1
  done
}

# ------------------------------------------------------------------ processes
# Those that this script starts besides nbdkit, by name.

declare -A processes=()

# runs NAME
runs ()
{
  running "${processes[$1]}"
}

# end NAME [SIGNAL]: sets $ended, its status.
end ()
{
  local pid=${processes[$1]-}
  ended=0
  [ -n "$pid" ] || return 0
  unset "processes[$1]"
  kill -"${2:-TERM}" "$pid" 2>/dev/null || :
  { wait "$pid"; } 2>/dev/null || ended=$?
}

end_processes ()
{
  local name
  for name in "${!processes[@]}"; do
    end "$name" KILL
  done
}
at_exit end_processes

# ---------------------------------------------------------------- the servers
# Server s is the one that a script is about: mramdisk with its disks in a
# file, or another with two_servers.  Server f is mnbd in front of it, for
# clients that do not connect again by themselves.

arena=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "$tmp")" \
          mblock-real.XXXXXX)
folders+=("$arena")
replaced=0 killed=0

# real_servers PARAMETERS…: of mramdisk.
real_servers ()
{
  two_servers "$mramdisk" arena="$arena/disks" arena-wait=60 control=control \
    "$@"
}

# two_servers ARGUMENTS…: of nbdkit, for server s.
two_servers ()
{
  server_arguments=("$@")
  start_server s "${server_arguments[@]}"
  start_forwarder
}

start_forwarder ()
{
  start_server f "$mnbd" socket="$tmp/s.sock" dynamic-export=true reconnect=300
}

# Replace server s while it is in use: by turns it is killed and stopped.
replace_server ()
{
  replaced=$((replaced + 1))
  if [ $((replaced % 2)) = 1 ]; then
    kill_server s
    killed=$((killed + 1))
  else
    stop_server s
  fi
  start_server s "${server_arguments[@]}"
}

# Replace server f, for clients that connect again by themselves.
replace_forwarder ()
{
  stop_server f
  start_forwarder
}

# --------------------------------------------------------------- file systems

requires_mounts ()
{
  requires_nbdfuse
  at_exit detach_all
}

# attach NAME [URI]: the disk becomes the file dev/NAME/nbd; by default it is
# the export NAME of server f.
attach ()
{
  local i
  mkdir -p "dev/$1"
  rm -f "dev/$1.pid"
  nbdfuse -P "$tmp/dev/$1.pid" "dev/$1" "${2:-$(uri "$1" f)}" \
    >"dev/$1.log" 2>&1 &
  processes[fuse-$1]=$!
  for ((i = 0; i < 6000; i++)); do
    [ ! -s "dev/$1.pid" ] || [ ! -e "dev/$1/nbd" ] || return 0
    runs "fuse-$1" || fail "nbdfuse: $(cat "dev/$1.log")"
    pause 0.05
  done
  fail "nbdfuse did not start: $(cat "dev/$1.log")"
}

detach ()
{
  until_true 60 "the end of nbdfuse for $1" fusermount3 -q -u "dev/$1"
  wait "${processes[fuse-$1]}" || fail "nbdfuse: $(cat "dev/$1.log")"
  unset "processes[fuse-$1]"
}

# destroy NAME: mnbd may still be closing its connections.
destroy ()
{
  until_true 120 "destroy $1" mblockctl destroy "$1" --quiet 2>err
}

# mount_disk NAME [OPTIONS]: on mnt/NAME.
mount_disk ()
{
  mkdir -p "mnt/$1"
  mount -o "loop${2:+,$2}" "dev/$1/nbd" "mnt/$1" 2>err && return
  case $(cat err) in
    *'unknown filesystem'* | *'not permitted'* | *'ermission denied'*)
      skip "cannot mount here: $(cat err)" ;;
  esac
  fail "mount $1: $(cat err)"
}

detach_all ()
{
  local name
  for name in mnt/*; do
    umount "$name" || umount -l "$name"
  done
  # Also those whose nbdfuse was killed.
  for name in dev/*; do
    fusermount3 -q -u "$name" || fusermount3 -q -u -z "$name"
  done
} 2>/dev/null

# checked NAME WHAT COMMAND…: a file system that was unmounted, with its
# checker.
checked ()
{
  "${@:3}" "dev/$1/nbd" >checked 2>&1 || fail "$2: ${*:3}: $(cat checked)"
}

# ------------------------------------------------------------------- the load

# load NAME FOLDER ARGUMENTS…: file-load.py in a folder, with the list of files
# that it keeps in the file NAME.kept.
load ()
{
  rm -f "$1.stop"
  : >"$1.kept"
  /usr/bin/python3 "$real/file-load.py" --stop "$tmp/$1.stop" "${@:3}" \
    "$2" "$tmp/$1.kept" >"$1.load" 2>&1 &
  processes[load-$1]=$!
}

# load_goes_on NAME FILES: until it has kept that many more.
load_goes_on ()
{
  local target=$(($(grep -c . "$1.kept" || :) + $2))
  until_true 600 "progress of the load" load_at "$1" $target
}
load_at ()
{
  runs "load-$1" || fail "the load has ended: $(cat "$1.load")"
  [ "$(grep -c . "$1.kept" || :)" -ge "$2" ]
}

# end_load NAME: it must have found no error.
end_load ()
{
  touch "$1.stop"
  wait "${processes[load-$1]}" || fail "the load: $(cat "$1.load")"
  unset "processes[load-$1]"
}

# has_kept FOLDER LIST: sets $kept_files to the number of files of the list,
# which must all be whole.
has_kept ()
{
  /usr/bin/python3 "$real/file-load.py" --check "$1" "$2" >checked 2>&1 ||
    fail "$(cat checked)"
  kept_files=$(cat checked)
}
