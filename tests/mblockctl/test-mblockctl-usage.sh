#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A wrong command line ends with exit code 2 and one line, before the server is
# asked; help is complete, and the manual names all that there is.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s hangup             # whoever asks it gets exit code 3
export MBLOCK_SOCKET=$tmp/s

bad () {
  local text=$1
  shift
  status 2 "$@"
  error_has "$text"
  case " ${*%%--} " in
    *' --json '*) json 'r["error"]["exit_code"] == 2' ;;
    *) out_empty ;;
  esac
}

# Alone it shows the commands by group.
status 2
out_empty
grep -q '^Inspect disks:$' "$tmp/err" || wrong "expected groups of commands"
[ "$(tail -n 1 "$tmp/err")" = \
  'mblockctl: expected a command; see "mblockctl --help"' ] ||
  wrong "expected the error at the end"
bad 'expected a command' --json
start_fake good
bad 'unknown command lst; did you mean "list"?' lst
bad 'unknown command lsit; did you mean "list"?' lsit
bad 'unknown command frobnicate; see' frobnicate
bad 'EVENT creation: expected created, destroyed' watch created creation
bad 'unknown command "a\x1b[31m"' $'a\e[31m'
bad 'unknown option --nope' --nope
bad 'unknown option --nope; see "mblockctl list --help"' list --nope
bad 'unknown option -z' list -z
bad 'unknown option -qz' list -qz
bad '--json: expected no value' list --json=yes
bad '--socket: expected SOCKET after it' list --socket
bad '--quota: expected SIZE after it' create x --quota
bad '--socket "": expected the path' -s '' list
bad '--timeout x: expected seconds' list --timeout x
bad '--timeout -1: expected seconds' list --timeout -1
bad '--timeout nan: expected seconds' list --timeout nan
bad '--timeout 1s: expected seconds' list -t1s
bad '--color blue: expected auto, always or never' list --color blue

bad 'expected: mblockctl create NAME [SIZE]' create
bad 'expected: mblockctl create NAME [SIZE]' create a 1G 2G
bad 'SIZE 1X: expected a size of less than 8E, such as 512, 64k, 1.5G' \
    create a 1X
bad 'SIZE 1.5: expected' create a 1.5
bad 'SIZE "": expected' create a ''
bad 'SIZE 8E: expected' create a 8E
bad 'SIZE 99999999999999999999: expected' create a 99999999999999999999
bad '--quota none: expected a size' create a 1G --quota none
bad '--sector-size x: expected a size' create a 1G --sector-size x
bad 'only one of --replace, --ignore and --if-exists' create a --replace \
    --ignore
bad '--if-exists maybe: expected error, ignore or replace' create a \
    --if-exists maybe
bad 'NAME "\xff": expected valid UTF-8' create $'\xff'
bad 'NAME "\xff": expected valid UTF-8' destroy a $'\xff'
bad 'SOURCE "\xff": expected valid UTF-8' clone $'\xff' a
bad 'expected: mblockctl destroy NAME|PATTERN...' destroy
bad 'expected: mblockctl destroy NAME|PATTERN...' rm
bad 'expected: mblockctl rename NAME NEW-NAME' mv a
bad 'expected: mblockctl snapshot' snapshot
bad 'expected: mblockctl reset' reset
bad 'expected disks, or --id ID' disconnect
bad 'expected disks, or --id ID' disconnect a --id 1
bad '--sort x: expected name, size' -s "$tmp/good" list --sort x
bad '--columns x: expected name, size' -s "$tmp/good" list --columns x
bad 'pattern [: expected a ]' -s "$tmp/good" list '['
bad 'expected: mblockctl resize' resize a
bad 'SIZE 1Q' resize a 1Q
bad '+SIZE 1Q' resize a +1Q
bad '-SIZE "": expected' resize -- a -
bad 'expected: mblockctl clone' clone a
bad 'clone "a": expected another NAME than SOURCE' clone a b a --replace
bad 'expected --readonly, --writable or --quota' set a
bad 'only one of --readonly and --writable' set a -r -w
bad 'only one of --json, --names and --null' list --json --names
bad 'expected: mblockctl info' info
bad '--offset x' extents a --offset x
bad '--length x' extents a --length x
bad 'expected: mblockctl diff A B' diff a
bad '--rows 0: expected a number from 1 to 1000' map a --rows 0
bad '--width 19: expected a number from 20 to 10000' map a --width 19
bad '--count 0' watch --count 0
bad '--count x' top -n x
bad '--delay 0: expected 0.1 to 60' top --delay 0
bad '--delay 61: expected 0.1 to 60' top --delay 61
bad '--sort size: expected requests' top --sort size
bad '"mblockctl stats --json"' top --json
bad 'PARAMS: expected a JSON object' call version '[]'
bad 'PARAMS: expected a JSON object (' call version '{'
bad 'expected: mblockctl version' version 1
unset MBLOCK_SOCKET
export XDG_RUNTIME_DIR=$tmp/run
bad 'which server? give its control socket with -s SOCKET or in MBLOCK_SOCKET' \
    list
mkdir -p "$tmp/run/mblock/mramdisk/one" "$tmp/run/mblock/mramdisk/two"
start_fake run/mblock/control.sock
status 0 list --names
out_has golden
rm "$tmp/run/mblock/control.sock"
bad 'which server?' list
start_fake run/mblock/mramdisk/one/control.sock
status 0 list --names
out_has golden
start_fake run/mblock/mramdisk/two/control.sock
bad 'which server? choose a control socket with -s SOCKET or in MBLOCK_SOCKET: ' \
    list
error_has 'run/mblock/mramdisk/one/control.sock, '
rm -r "$tmp/run"
bad 'which server?' wait-ready
bad 'which server?' watch

# Options stand before or after the command, together or apart.
status 0 -s "$tmp/good" list -jq
json 'r["disks"]'
status 0 list "-s$tmp/good" --json
json 'r["disks"]'
status 0 --json list --socket="$tmp/good"
json 'r["disks"]'
status 0 -s "$tmp/good" create --quiet -- --json
status 0 -s "$tmp/good" list --names -- --json
out_is '--json'
MBLOCK_SOCKET=$tmp/good status 0 list --names -- --json
out_is '--json'
MBLOCK_SOCKET=$tmp/nobody status 0 list -s "$tmp/good"

# Help: of the tool, and of each command, in at most 80 columns; help on an
# option begins in one column.
narrow () {
  no_error
  ! awk 'length > 80' "$tmp/out" | grep . || wrong "lines over 80 columns"
  ! sed -n '/^Options:$/,/^$/p' "$tmp/out" | grep '^  [ -].. --' |
    grep -Ev '^(.{25} [^ ]|  ....--[^ ]*( [^ ]*)?$)' ||
    wrong "help is not in its column"
}
status 0 --version
grep -qx 'mblockctl [0-9][0-9.]*' "$tmp/out" || wrong "expected the version"
status 0 --help
narrow
cp "$tmp/out" "$tmp/help"
! sed '/^Options:$/,$d' "$tmp/out" | grep '^  ' | grep -Ev '^.{16} [^ ]' ||
  wrong "a command is wider than its column"
status 0 help
cmp -s "$tmp/out" "$tmp/help" || wrong "expected the same as --help"
status 0 --list-commands
commands=$(cat "$tmp/out")
pod=$tests/../docs/mblockctl.pod
options=$("$ctl" --list-options=)
[ "$(echo $commands | wc -w)" -ge 19 ] || wrong "expected more commands"
for c in $commands; do
  grep -q "^  $c " "$tmp/help" || { shown=help; wrong "$c is missing"; }
  status 0 "$c" --help
  narrow
  out_has "Usage: mblockctl $c"
  grep -q '^Examples\?:' "$tmp/out" || [ $c = help ] ||
    wrong "expected examples"
  ! grep -q -- ' --force' "$tmp/out" || out_has '  -f, --force'
  cp "$tmp/out" "$tmp/one"
  status 0 help "$c"
  cmp -s "$tmp/out" "$tmp/one" || wrong "expected the same as --help"
  grep -q "^=item B<$c>" "$pod" || wrong "the manual has no $c"
  options+=" $("$ctl" --list-options="$c")"
done
for o in $options; do
  grep -q "B<${o%=}>" "$pod" || { shown=manual; wrong "it has no $o"; }
done

# watch names all events, as the manual of the control socket does.
status 0 watch --help
events=$(sed -n 's/^=item B<events> - an array of//p' \
  "$tests/../docs/mblock-control.pod" | tr -d '",')
[ "$(echo $events | wc -w)" -ge 10 ] || wrong "the manual has no events"
for e in $events; do
  grep -qw "$e" "$tmp/out" || wrong "$e is missing"
done

exit $rc
