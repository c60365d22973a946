#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A filter that was compiled for another version of nbdkit is refused, in the
# words that the manual explains.

. "$(dirname "$0")/../filter-functions.sh"

version=$(nbdkit --dump-config | sed -n 's/^version=//p')
# Of the same length, so that nothing in the file moves.
other=$(tr 0-9 1-90 <<<"$version")
cp "$(readlink -f "$filter")" other-filter.so
/usr/bin/python3 - "$version" "$other" <<'END'
import sys

version, other = (("\0%s\0" % v).encode() for v in sys.argv[1:])
data = open("other-filter.so", "rb").read()
if version not in data:
    sys.exit("FAIL: the filter does not say for which version it is")
open("other-filter.so", "wb").write(data.replace(version, other))
END
rc=0
nbdkit -U - --filter=./other-filter.so "$mramdisk" mnbd=nbd://localhost \
  mnbd-mode=forward --run 'echo it has started' >refused 2>&1 || rc=$?
[ $rc -ne 0 ] || fail "status $rc: $(cat refused)"
said="filter is incompatible with this version of nbdkit"
grep -qF "other-filter.so: $said (_version = $other, need $version)" refused ||
  fail "$(cat refused)"
# In the manual the line is broken, and has other numbers.
tr -s ' \n' '  ' <"$testdir/../docs/nbdkit-mnbd-filter.pod" >manual
grep -qF "$said" manual ||
  fail "the manual does not have this message"
