#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The manual and "nbdkit mramdisk --help" have the same parameters.

pod=$(cd "${srcdir:-.}/docs" && pwd)/nbdkit-mramdisk-plugin.pod || exit 99

help=$(nbdkit "${abs_top_builddir:-$PWD}/mramdisk.so" --help |
       sed -n '/^plugin:/,$ s/^\[\{0,1\}\([a-z-]*\)=.*/\1/p' | sort -u)
manual=$(sed -n '/^=head1 PARAMETERS/,/^=head1 NOTES/p' "$pod" |
         sed -n 's/^=item \(\[B<\|B<\)\([a-z-]*\)=.*/\2/p' | sort -u)
if [ -z "$help" ] || [ "$help" != "$manual" ]; then
  echo "--help (<) and the manual (>) differ:"
  diff <(echo "$help") <(echo "$manual")
  exit 1
fi
