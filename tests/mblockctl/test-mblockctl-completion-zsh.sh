#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion for zsh offers what the tool knows, for each command: in a real
# line editor, whose compadd also writes down what it is given.

. "${srcdir:-.}/tests/completion.sh" || exit 99
if ! command -v zsh >/dev/null; then
  echo "SKIP: zsh is not there"
  exit 77
fi
export HOME=$tmp ZDOTDIR=$tmp
cd "$tmp" || exit 99
mkdir folder functions
touch folder/file.img
cp "$completion.zsh-completion" functions/_mblockctl
completion_lines > lines
cat >> lines <<EOL
mblockctl -s $tmp/s load fol
mblockctl --socket=fol
mblockctl -s $tmp/s info it
mblockctl -s $tmp/s info a\\ b
EOL

cat > rc <<'EOR'
PS1='ready> '
unsetopt beep
fpath=($PWD/functions $fpath)
autoload -Uz compinit
compinit -u -D
compadd () {
  local -a hits
  # Options that only ask do not offer anything.
  if [[ -z ${(M)argv:#-[OAD]} ]]; then
    builtin compadd -O hits "$@"
    all+=("${(@)hits}")
  fi
  builtin compadd "$@"
}
try-all () {
  local line hit
  while IFS= read -r line; do
    all=()
    BUFFER=$line
    CURSOR=$#BUFFER
    zle try
    print -r -- "$line" >&3
    for hit in "${(@)all}"; do print -r -- $'\t'"$hit" >&3; done
    print -r -- $'\t'"= $BUFFER" >&3
  done < lines
  exec 3>&-
  exit
}
typeset -a all
exec 3> all
zle -C try complete-word _main_complete
zle -N try-all
bindkey '^T' try-all
EOR
shown='zsh in a terminal'
python3 - > out 2> err <<'EOP' || wrong "see above"
import os, pty, select, time

pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp("zsh", ["zsh", "-f", "-i"])
text = b""
end = time.time() + 300

def until(what):
    global text
    while what not in text:
        assert time.time() < end, text
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 65536)
    text = text[text.index(what) + len(what):]

until(b"% " if os.getuid() else b"# ")
os.write(fd, b"source rc\n")
until(b"ready> ")
os.write(fd, b"\x14")
while True:
    try:
        if not os.read(fd, 65536):
            break
    except OSError:             # zsh has ended
        break
    assert time.time() < end
os.waitpid(pid, 0)
EOP

# of LINE: its candidates, or with "=" what the line became.
of () {
  awk -v line="$1" -v became="${2:+1}" '
    /^\t= / { if (on && became) print substr ($0, 4); next }
    /^\t/ { if (on && !became) print substr ($0, 2); next }
    { on = $0 == line }' all
}
while IFS= read -r line; do
  shown="completion of: $line"
  of "$line" | sort > out
  case $line in
    *fol | *' info it' | *' info a'*) continue ;;
  esac
  expected_of "$line" > expected
  if [ "$(cat expected)" = files ]; then
    grep -qx 'folder' out || wrong "expected files"
  else
    cmp -s expected out || wrong "expected: $(tr '\n' ' ' < expected)"
  fi
done < lines
[ "$(wc -l < lines)" -ge 100 ] || wrong "expected more lines"

# What stands in the line at the end.
became () {
  shown="line: $1"
  of "$1" = > out
  out_is "$2"
}
became "mblockctl -s $tmp/s load fol" "mblockctl -s $tmp/s load folder/"
became 'mblockctl --socket=fol' 'mblockctl --socket=folder/'
became "mblockctl -s $tmp/s info it" "mblockctl -s $tmp/s info it\\'s "
became "mblockctl -s $tmp/s info a\\ b" "mblockctl -s $tmp/s info a\\ b:c "
[ -e pwned ] && wrong "expected that nothing is run"

exit $rc
