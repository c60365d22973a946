# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the examples use beyond functions.sh.  To be sourced by
# bash.

. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

[ -x "$builddir/mblockctl" ] || fail "$builddir/mblockctl does not exist"

# example NAME ARGUMENTS…: the example that this test is about, and arguments
# that it always gets.
example ()
{
  example=$1
  always=("${@:2}")
  mkdir work
}

run_example ()
{
  TMPDIR=$tmp/work XDG_RUNTIME_DIR=$tmp/work \
    "$testdir/../examples/$example" --build "$builddir" "${always[@]}" "$@" \
    >out 2>err
}

# example_passes ARGUMENTS…: it checks each of its steps itself.
example_passes ()
{
  run_example "$@" || fail "status $?: $(tail -n 40 out err)"
  check "what it says is wrong" "$(cat err)" ""
  leaves_nothing
}

leaves_nothing ()
{
  check "what it leaves" "$(ls -A work)" ""
}

# figures_have TEXT…: the figures at the end contain each of these.
figures_have ()
{
  local figures figure
  step "the figures at the end"
  figures=$(sed -n '/^Figures/,$p' out)
  for figure; do
    case $figures in
      *"$figure"*) ;;
      *) fail "expected '$figure' in: $figures" ;;
    esac
  done
}

# bad_arguments: for each line of standard input, ERROR ARGUMENTS, the example
# with these arguments must fail with this error, in which _ stands for a blank.
bad_arguments ()
{
  local says arguments
  step "bad arguments: one line"
  while read -r says arguments; do
    if eval "run_example $arguments"; then
      fail "$arguments: expected a failure"
    fi
    check "$arguments" "$(cat err)" "examples/$example: ${says//_/ }"
  done
  leaves_nothing
}
