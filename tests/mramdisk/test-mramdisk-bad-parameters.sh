#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each wrong parameter ends the start with one line that says why.

. "$(dirname "$0")/functions.sh"

size='a whole number of bytes, or with one suffix b s k M G T P E'
most='at most 2^63-1 bytes'
sector='a power of two from 512 to 65536'
parts='size=, sector-size= or readonly='
keys='size, disk, auto-create, default, control, control-mode, sector-size, '
keys+='max-memory, max-size, max-disks, detect-zeroes or parallel'

# Wrong values: each line has a parameter, and what is expected there.
while IFS='|' read -r parameter expected; do
  case $expected in
    size) expected=$size ;;
    most) expected=$most ;;
    sector) expected=$sector ;;
  esac
  refused_start "$parameter: expected $expected" "$mramdisk" "$parameter"
done <<'END'
size=|size
size=x|size
size=-1|size
size=+1|size
size= 1|size
size=1.5G|size
size=1GB|size
size=1 |size
size=0x10|size
size=1KiB|size
size=1e6|size
size=9223372036854775808|most
size=8E|most
size=99999999999999999999|most
max-size=-5|size
max-size=lots|size
max-size=8E|most
sector-size=0|sector
sector-size=1|sector
sector-size=256|sector
sector-size=1000|sector
sector-size=128k|sector
sector-size=512B512|sector
max-disks=0|a number from 1 to 10000000
max-disks=-1|a number from 1 to 10000000
max-disks=10000001|a number from 1 to 10000000
max-disks=many|a number from 1 to 10000000
max-memory=0|a size from 1M to 16383G
max-memory=1048575|a size from 1M to 16383G
max-memory=16384G|a size from 1M to 16383G
max-memory=99999999999999999999|a size from 1M to 16383G
max-memory=50%|size
max-memory=|size
auto-create=|yes or no
auto-create=maybe|yes or no
detect-zeroes=2|yes or no
parallel=sometimes|auto, yes or no
parallel=|auto, yes or no
END

step "unknown keys"
for parameter in foo=1 sizes=1M SIZE=1M Max-Size=1M; do
  refused_start "unknown parameter $parameter: expected $keys" \
    "$mramdisk" "$parameter"
done

step "disk="
while IFS='|' read -r value name part; do
  refused_start "disk=$name: unknown part \"$part\", expected $parts" \
    "$mramdisk" "disk=$value"
done <<'END'
a,b|a|b
a,=1|a|=1
a,size|a|size
a,|a|
a,size=1M,|a|
a,size=1M,b=2|a|b=2
a,SIZE=1M|a|SIZE=1M
a, size=1M|a| size=1M
a,sizes=1M|a|sizes=1M
a,readonly|a|readonly
a,,b,c|a,,b|c
,x||x
END
refused_start "disk=a,size=x: expected $size" "$mramdisk" disk=a,size=x
refused_start "disk=a,,b,size=: expected $size" "$mramdisk" disk=a,,b,size=
refused_start "disk=a,size=8E: expected $most" "$mramdisk" disk=a,size=8E
refused_start "disk=a,sector-size=7: expected $sector" \
  "$mramdisk" disk=a,size=1M,sector-size=7
refused_start "disk=a,readonly=perhaps: expected yes or no" \
  "$mramdisk" disk=a,readonly=perhaps
refused_start "disk=a,size=2M: expected a name that was not given before" \
  "$mramdisk" disk=a disk=b disk=a,size=2M

step "a value of several lines gets one line"
refused_start "size=1\\x0a2\\x7f: expected $size" "$mramdisk" $'size=1\n2\x7f'
refused_start "disk=a\\x0ab: unknown part \"x\\x09\", expected $parts" \
  "$mramdisk" $'disk=a\nb,x\t'
refused_start "disk=a\\x0ab,size=: expected $size" "$mramdisk" \
  $'disk=a\nb,size='
refused_start "unknown parameter x=\\x09: expected $keys" "$mramdisk" $'x=\t'

step "what does not go together"
refused_start "max-disks=1: expected at least 2, for so many disk= are given" \
  "$mramdisk" max-disks=1 disk=a disk=b
refused_start "auto-create=no: expected a disk= or control= with it, else \
there is nothing to connect to" "$mramdisk" auto-create=no
refused_start "default=b: expected a disk= of that name, auto-create=yes \
or control=" "$mramdisk" auto-create=no disk=a default=b
refused_start "default=foo: expected no disk= with an empty name, for the \
empty name means \"foo\" then" "$mramdisk" default=foo disk=,size=1M
refused_start "size=100G: expected at most max-size=1M" \
  "$mramdisk" max-size=1M size=100G
refused_start "size=513: expected a multiple of sector-size=512" \
  "$mramdisk" size=513 sector-size=512
refused_start "disk=a,,b,size=2k: expected a multiple of sector-size=4096" \
  "$mramdisk" disk=a,,b,size=2k,sector-size=4k
refused_start "disk=a, of size=16777217: expected a multiple of \
sector-size=4096" "$mramdisk" size=16777217 auto-create=no \
  disk=a,sector-size=4096
refused_start "disk=a, of size=3M: expected at most max-size=2M" \
  "$mramdisk" size=3M max-size=2M auto-create=no disk=a

step "a limit of address space"
(
  ulimit -v 8000000
  refused_start "max-memory=100G: cannot reserve that much address space: \
Cannot allocate memory; expected a smaller max-memory=, or a higher limit of \
address space (ulimit -v)" "$mramdisk" max-memory=100G
)

step "values that must be taken"
for parameter in size=9223372036854775807 max-memory=1M sector-size=64k \
    auto-create=ON detect-zeroes=False max-disks=10000000 max-disks=1k \
    parallel=AUTO parallel=on parallel=True parallel=1 parallel=N \
    disk=a,,,,b; do
  nbdkit -U - "$mramdisk" "$parameter" --run true ||
    fail "$parameter was refused, expected to be taken"
done
