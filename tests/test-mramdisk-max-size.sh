#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# max-size= bounds every disk.

. "$(dirname "$0")/functions.sh"

step "sizes up to it are taken, the default one too"
serve size=1M max-size=2M disk=a,size=2M
python <<'END'
check("a", connect("a").get_size(), 2 * MiB)
check("made by connecting", connect("b").get_size(), 1 * MiB)
END

step "more is refused"
refused_start "disk=a,size=2097153: the size is 2097153, expected at most \
max-size=2097152" "$mramdisk" size=1M max-size=2M disk=a,size=2097153
refused_start "size: the size is 3145728, expected at most max-size=2097152" \
  "$mramdisk" size=3M max-size=2M
