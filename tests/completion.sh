# SPDX-License-Identifier: BSD-3-Clause
# What the tests of completion share, one for each shell; they source it.  The
# fake server is at $tmp/s.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
"$ctl" -s "$tmp/s" create -q 'a b:c'
"$ctl" -s "$tmp/s" create -q "it's"
"$ctl" -s "$tmp/s" create -q -- '$(touch pwned)'
completion=$tests/../tools/mblockctl
PATH=$(dirname "$ctl"):$PATH
touch "$tmp/err"

# Lines of which a shell must offer what the tool says: all commands, all
# options of each, its arguments, and the values of its options.
completion_lines () {
  local c o with="mblockctl -s $tmp/s"

  echo "mblockctl "
  echo "mblockctl re"
  for c in $("$ctl" --list-commands) rm delete ls mv snap; do
    echo "mblockctl $c --"
    echo "$with $c "
    echo "$with $c golden "
    for o in $("$ctl" --list-options="$c"); do
      case $o in --socket=) continue ;; esac
      [ "${o%=}" = "$o" ] || echo "$with $c ${o%=} "
    done
  done
  echo "$with mirror start --"
  echo "$with mirror rate "
  echo "$with jobs cancel "
  echo "$with info g"
  echo "$with list --columns name,s"
}

# completion_is LINE: print what the tool offers there, a candidate a line; or
# "files".
completion_of () {
  local answer
  eval "set -- $1 ${2-}"
  shift
  [ "${1+x}" ] || set -- ''
  mapfile -d '' answer < <("$ctl" --complete "$@")
  [ "${answer[0]}" = words ] || { echo "${answer[0]}"; return; }
  [ ${#answer[@]} -eq 1 ] || printf '%s\n' "${answer[@]:1}"
}

# The candidates of a line: its last word is what follows the last space.
expected_of () {
  case $1 in
    *' ') completion_of "$1" "''" ;;
    *) completion_of "$1" ;;
  esac | sort
}
