#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe for QEMU in mblock-recipes(7): a VM has a clone as its disk, and
# waits for a server that restarts.

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

requires qemu-system-x86_64
recipe_server arena=arena
golden_image

step "start the VM"
# The recipe's second command does the same without a VM.
recipe_text QEMU | sed -n '1,/drive=root/p' >vm
sed -i '1s/^/exec /; s/-m 1G -accel kvm/-m 64M -accel tcg -S -display none -qmp stdio/' vm
grep -q 'qmp stdio' vm || fail "the recipe has another form: $(cat vm)"
[ "$(grep -c . vm)" = 3 ] || fail "the recipe has another form: $(cat vm)"
coproc bash vm 2>vm.log
vm=$COPROC_PID
end_vm ()
{
  kill "$vm" 2>/dev/null
}
at_exit end_vm

# ask REQUEST; answer then prints all that the VM says up to the answer.  The
# output of qemu-io stands before the answer, not in it.
ask ()
{
  echo "$1" >&"${COPROC[1]}"
}
answer ()
{
  local line
  while IFS= read -r -t 300 line <&"${COPROC[0]}"; do
    echo "$line"
    case $line in *'"return"'* | *'"error"'*) return ;; esac
  done
  fail "the VM does not answer: $(cat vm.log)"
}

# A command of qemu-io on the VM's own disk.
ask_disk ()
{
  ask '{"execute": "human-monitor-command",
        "arguments": {"command-line": "qemu-io -d '$device' \"'"$1"'\""}}'
}
check_answer ()                 # WHAT EXPECTED
{
  answer >said
  grep -q -e "$2" said || fail "$1: $(cat said)"
}
device=/machine/peripheral-anon/device[0]/virtio-backend

ask '{"execute": "qmp_capabilities"}'
check_answer "the VM's monitor" '"return"'
ask_disk "write -P 7 0 64k"
check_answer "the VM writes" '^wrote 65536/65536'
qemu-io -f raw -r -c 'read -P 7 0 64k' "$(uri vm-1)" >out ||
  fail "the VM did not write to vm-1: $(cat out)"

step "the server is killed; the VM waits until it is there again"
kill_server s
ask_disk "read -P 7 0 64k"
sleep 1
recipe_server arena=arena
check_answer "the VM reads after the restart" '^read 65536/65536'

step "end"
ask '{"execute": "quit"}'
wait "$vm" || fail "the VM ended with an error: $(cat vm.log)"
exit 0
