#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The manuals are well-formed, and have their parts in the order of nbdkit's.

docs=$(cd "${srcdir:-.}/docs" && pwd) || exit 99

if ! command -v podchecker >/dev/null; then
  echo "SKIP: podchecker is not there (Debian: perl)"
  exit 77
fi

order='NAME SYNOPSIS DESCRIPTION EXAMPLES PARAMETERS NOTES CAVEATS FILES VERSION
SEE ALSO'
rc=0
for pod in "$docs"/*.pod; do
  podchecker -warnings -warnings "$pod" 2>&1 || rc=1
  case $pod in
    *-plugin.pod|*-filter.pod) ;;
    *) continue ;;
  esac
  # Headings of its own may stand between these.
  found=$(sed -n 's/^=head1 //p' "$pod" | grep -Fx "$(tr ' ' '\n' <<< "$order"
          echo 'SEE ALSO')" | tr '\n' ' ')
  if [ "$found" != "$(tr '\n' ' ' <<< "$order")" ]; then
    echo "${pod##*/}: the headings are $found"
    rc=1
  fi
done
exit $rc
