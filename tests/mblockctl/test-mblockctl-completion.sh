#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The completion for bash: by its function, and through a real command line.

. "${srcdir:-.}/tests/mblockctl.sh"
start_fake s
"$ctl" -s "$tmp/s" create -q 'a b:c'
"$ctl" -s "$tmp/s" create -q "it's"
"$ctl" -s "$tmp/s" create -q -- '$(touch pwned)'
script=$tests/../tools/mblockctl.bash-completion
PATH=$(dirname "$ctl"):$PATH
touch "$tmp/err"

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

bash -n "$script" || rc=1
complete_is "$("$ctl" --list-commands | tr '\n' ' ')" ''
complete_is 'create ' cr
complete_is '--json ' --j
complete_is '--ignore --if-exists= ' create --i
complete_is 'replace ' create --if-exists = r
complete_is 'error ignore replace ' create --if-exists = =
complete_is 'requests bytes latency memory clients name ' top --sort ''
complete_is 'resized replaced ' watch re
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
complete_is '--wait ' mirror status --w
complete_is '' mirror status --re
MBLOCK_SOCKET=$tmp/s complete_is 'idle ' map id

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
