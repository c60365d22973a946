#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The manual of each plugin and "nbdkit PLUGIN --help" have the same parameters.

docs=$(cd "${srcdir:-.}/docs" && pwd) || exit 99
rc=0

# compare WHAT HELP MANUAL: lists of parameters.
compare ()
{
  if [ -z "$2" ] || [ "$2" != "$3" ]; then
    echo "$1: --help (<) and the manual (>) differ:"
    diff <(echo "$2") <(echo "$3")
    rc=1
  fi
}

for plugin in mramdisk mnbd; do
  help=$(nbdkit "${abs_top_builddir:-$PWD}/$plugin.so" --help |
         sed -n '/^plugin:/,$ s/^\[\{0,1\}\([a-z-]*\)=.*/\1/p' | sort -u)
  manual=$(sed -n '/^=head1 PARAMETERS/,/^=head1 NOTES/p' \
             "$docs/nbdkit-$plugin-plugin.pod" |
           sed -n 's/^=item \(\[B<\|B<\)\([a-z-]*\)=.*/\2/p' | sort -u)
  compare "$plugin" "$help" "$manual"
done

# The filter's own, and by name each of those that it has from the plugin.
help=$(nbdkit --filter="${abs_top_builddir:-$PWD}/mnbd-filter.so" null --help |
       sed -n 's/^\(mnbd[a-z-]*\)=.*/\1/p' | sort -u)
manual=$(sed -n '/^=head1 PARAMETERS/,/^=head1 NOTES/p' \
           "$docs/nbdkit-mnbd-filter.pod" |
         sed -n 's/^=item B<\(mnbd[a-z-]*\)=.*/\1/p' | sort -u)
compare "the filter" "$help" "$manual"
for key in $(nbdkit "${abs_top_builddir:-$PWD}/mnbd.so" --help |
             sed -n '/^plugin:/,$ s/^\[\{0,1\}\([a-z-]*\)=.*/\1/p'); do
  if ! grep -qF "C<mnbd-$key>" "$docs/nbdkit-mnbd-filter.pod"; then
    echo "the filter's manual does not have mnbd-$key"
    rc=1
  fi
done
exit $rc
