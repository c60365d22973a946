#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion for bash: by its function, and through a real command line.

. "${srcdir:-.}/tests/completion.sh" || exit 99
script=$completion.bash-completion

# complete_is EXPECTED WORD...: what is offered for the last word.
complete_is () {
  local expected=$1
  shift
  shown="completion of: $*"
  (cd "$tmp" && bash --norc -c '
    . "$0"
    COMP_WORDS=("$@")
    COMP_CWORD=$#
    COMP_WORDS=(mblockctl "$@")
    _mblockctl
    for r in "${COMPREPLY[@]}"; do printf "%s " "$r"; done' "$script" "$@") > "$tmp/out" 2>"$tmp/err"
  [ "$(cat "$tmp/out")" = "$expected" ] || wrong "expected: $expected"
  no_error
}

# The tool knows what each word of each usage line stands for.
while IFS= read -r line; do
  case $line in
    *' ') eval "set -- $line ''" ;;
    *) eval "set -- $line" ;;
  esac
  shift
  "$ctl" --complete "$@" > "$tmp/out" 2> "$tmp/err"
  status=$?
  shown="mblockctl --complete $*"
  [ "$status" = 0 ] || wrong "the exit code is $status"
  no_error
done < <(completion_lines)
shown='the commands'
expected_of 'mblockctl ' > "$tmp/out"
"$ctl" --list-commands | sort | cmp -s - "$tmp/out" || wrong "not all commands"

bash -n "$script" || rc=1
complete_is "$("$ctl" --list-commands | tr '\n' ' ')" ''
complete_is 'create ' cr
complete_is 'reset rename resize ' re
complete_is 'mapped mode ' list --sort m
complete_is 'golden ' -s "$tmp/s" reset g
complete_is 'golden ' -s "$tmp/s" rm busy g
complete_is '--json ' --j
complete_is '--ignore --if-exists= ' create --i
complete_is 'replace ' create --if-exists = r
complete_is 'error ignore replace ' create --if-exists = =
complete_is 'requests bytes latency memory clients name ' top --sort ''
complete_is 'resized replaced renamed ' watch re
complete_is 'watch wait-ready ' help wa
complete_is 'golden ' -s "$tmp/s" info g
complete_is 'golden ' --socket = "$tmp/s" info g
complete_is 'golden ' info --socket "$tmp/s" --json g
complete_is 'golden ' -s "$tmp/s" diff busy g
complete_is '' -s "$tmp/s" diff busy idle g
complete_is '' -s "$tmp/s" resize golden ''
complete_is "it\\'s " -s "$tmp/s" destroy it
complete_is 'a\ b\:c ' -s "$tmp/s" destroy 'a\ '
complete_is '' -s "$tmp/none" info ''
complete_is 'disk_info ' -s "$tmp/s" call disk_inf
complete_is '' -s "$tmp/s" create ''
complete_is '--resume --repair ' mirror --re
complete_is '--resume ' mirror start --re
complete_is '--wait ' mirror start --w
complete_is '' mirror start --f
complete_is '--force ' mirror --quiet stop --f
complete_is '' mirror stop --w
complete_is '--repair ' mirror verify disk --re
complete_is '--wait --watch ' mirror status --w
complete_is '--wait ' mirror verify --w
complete_is '' mirror status --re
MBLOCK_SOCKET=$tmp/s complete_is 'idle ' map id

complete_is 'name,size name,sector ' list --columns name,s
complete_is 'none ' mirror rate n
complete_is 'status start stop switch verify rate ' mirror ''
complete_is 'golden ' -s "$tmp/s" push golden dest --since g

# For each command the same as the tool says.
n=0
while IFS= read -r line; do
  case $line in *'"'* | *' info g' | *,*) continue ;; esac
  case $line in
    *' ') eval "set -- $line ''" ;;
    *) eval "set -- $line" ;;
  esac
  shift
  expected_of "$line" > "$tmp/expected"
  grep -qx files "$tmp/expected" && continue
  printf '%s\n' "$*" >> "$tmp/tried"
  printf '%s\0' "$#" "$@" >> "$tmp/words"
  tr '\n' ' ' < "$tmp/expected" >> "$tmp/all"
  echo >> "$tmp/all"
  n=$((n + 1))
done < <(completion_lines)
bash --norc -c '
  . "$0"
  while IFS= read -r -d "" COMP_CWORD; do
    COMP_WORDS=(mblockctl)
    for ((i = 0; i < COMP_CWORD; i++)); do
      IFS= read -r -d "" word
      COMP_WORDS+=("$word")
    done
    _mblockctl
    for r in "${COMPREPLY[@]}"; do eval "printf \"%s\\n\" ${r//\\:/:}"; done |
      sort | tr "\n" " "
    echo
  done' "$script" < "$tmp/words" > "$tmp/out" 2> "$tmp/err"
shown="completion of all commands"
no_error
[ "$n" -ge 100 ] || wrong "expected more lines"
diff "$tmp/all" "$tmp/out" > "$tmp/diff" ||
  wrong "the tool and bash differ: $(cat "$tmp/diff")"

# A person at a prompt: the name arrives whole, and runs nothing.
cat > "$tmp/rc" <<EOC
PS1='ready> '
unset HISTFILE
. "$script"
export MBLOCK_SOCKET="$tmp/s"
bind 'set enable-bracketed-paste off'
cd "$tmp"
EOC
shown='completion at a prompt'
PATH=$PATH python3 - "$tmp/rc" > "$tmp/out" 2>"$tmp/err" <<'EOP' ||
import os, pty, select, sys, time

pid, fd = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--noprofile", "--rcfile", sys.argv[1], "-i"])
text = b""

def until(what):
    global text
    end = time.time() + 60
    while what not in text and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 65536)
    assert what in text, text
    text = text[text.index(what) + len(what):]

def line(typed, shown):
    until(b"ready> ")
    os.write(fd, typed.encode() + b"\t")
    until(shown.encode())
    os.write(fd, b"; echo end\n")
    until(b"\nend")

line("mblockctl destr", "destroy ")
line("mblockctl info a", "a\\ b\\:c ")
line("mblockctl info a\\ b\\:", "c ")
line("mblockctl info --json g", "golden ")
line("mblockctl info '$(t", "ouch pwned)' ")
line("mblockctl info \\$", "\\(touch\\ pwned\\) ")
line("mblockctl create x --quo", "ta=")
line("mblockctl create x --if-exists=re", "place ")
until(b"ready> ")
os.write(fd, b"exit\n")
os.waitpid(pid, 0)
EOP
  wrong "see above"
[ -e "$tmp/pwned" ] && wrong "expected that nothing is run"

exit $rc
