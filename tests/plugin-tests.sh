# SPDX-License-Identifier: BSD-3-Clause
# To run the tests of the mnbd plugin with the filter.  To be sourced by bash.

mnbd=$(cd "$(dirname "${BASH_SOURCE[0]}")/mnbd" && pwd)

# with_filter NAME…: tests/test-mnbd-NAME.sh, each with a time limit of its own.
# Those that skip do not fail; skips if all do.
with_filter ()
{
  local name rc result=77
  for name; do
    echo "with the filter: $name"
    rc=0
    PLUGIN=filter MBLOCK_TIMED= "$BASH" "$mnbd/test-mnbd-$name.sh" ||
      rc=$?
    case $rc in
      0) [ $result -ne 77 ] || result=0;;
      77) echo "skipped: $name";;
      *) echo "FAIL: $name: status $rc" >&2
         result=1;;
    esac
  done
  exit $result
}
