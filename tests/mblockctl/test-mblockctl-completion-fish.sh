#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion for fish offers what the tool knows, for each command.

. "${srcdir:-.}/tests/completion.sh" || exit 99
if ! command -v fish >/dev/null; then
  echo "SKIP: fish is not there"
  exit 77
fi
export HOME=$tmp
cd "$tmp" || exit 99
mkdir folder
touch folder/file.img

# One process for all lines: "LINE" and then its candidates, each after a tab.
completion_lines > lines
cat >> lines <<EOL
mblockctl -s $tmp/s load fol
mblockctl --socket=fol
EOL
fish --no-config -c '
  source $argv[1]
  while read -l line
    echo -- $line
    complete -C $line | string replace -r "\t.*" "" | string replace -r "^" "\t"
  end < lines' "$completion.fish-completion" > all 2> err

shown='completion of fish'
no_error
while IFS= read -r line; do
  shown="completion of: $line"
  awk -v line="$line" '
    /^\t/ { if (on) print substr ($0, 2); next }
    { on = $0 == line }' all | sort > out
  case $line in
    *' load fol') echo folder/ > expected ;;
    *'--socket=fol') echo --socket=folder/ > expected ;;
    *) expected_of "$line" > expected ;;
  esac
  # fish may quote a name as the shell would have to read it.
  if [ "$(cat expected)" = files ]; then
    grep -qx 'folder/' out || wrong "expected files"
  else
    cmp -s expected out || wrong "expected: $(tr '\n' ' ' < expected)"
  fi
done < lines
[ "$(wc -l < lines)" -ge 100 ] || wrong "expected more lines"
[ -e pwned ] && wrong "expected that nothing is run"

exit $rc
