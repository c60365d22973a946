#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# max-size= limits the size of every disk.

. "$(dirname "$0")/../functions.sh"

step "sizes up to it are taken, the default one too"
serve size=1M max-size=2M disk=a,size=2M
python <<'END'
check("a", connect("a").get_size(), 2 * MiB)
check("made by connecting", connect("b").get_size(), 1 * MiB)
END
stop_server s

step "more is refused"
refused_start "disk=a,size=2097153: expected at most max-size=2M" \
  "$mramdisk" size=1M max-size=2M disk=a,size=2097153
refused_start "size=3M: expected at most max-size=2M" \
  "$mramdisk" size=3M max-size=2M

step "the default of size= gives way to it, in whole sectors"
serve max-size=10000 sector-size=512 disk=a disk=b,sector-size=4096 \
  disk=c,size=512
python <<'END'
for name, size in ("new", 19 * 512), ("a", 19 * 512), ("b", 8192), ("c", 512):
    check(name, connect(name).get_size(), size)
END
