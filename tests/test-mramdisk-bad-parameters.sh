#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each wrong parameter ends the start with one line that says why.

. "$(dirname "$0")/functions.sh"

size='a size in bytes or with a suffix, such as 1G, of at most 2^63-1 bytes'
sector='a power of two from 512 to 65536'
disk='NAME[,size=SIZE][,sector-size=N][,readonly=yes|no], '
disk+='and each comma in NAME doubled'
keys='size, disk, auto-create, default, control, control-mode, sector-size, '
keys+='max-memory, max-size, max-disks, detect-zeroes or parallel'

# Wrong values: each line has a parameter, and what is expected there.
while IFS='|' read -r parameter expected; do
  case $expected in
    size) expected=$size ;;
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
size=9223372036854775808|size
size=8E|size
size=99999999999999999999|size
max-size=-5|size
max-size=lots|size
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
max-memory=50%|a size from 1M to 16383G
auto-create=|yes or no
auto-create=maybe|yes or no
detect-zeroes=2|yes or no
parallel=sometimes|auto, yes or no
END

step "unknown keys"
for parameter in foo=1 sizes=1M SIZE=1M Max-Size=1M; do
  refused_start "unknown parameter $parameter: expected $keys" \
    "$mramdisk" "$parameter"
done

step "disk="
for value in 'a,b' 'a,=1' 'a,size' 'a,' 'a,size=1M,' \
    'a,size=1M,b=2' 'a,Size=1M' 'a,,b,c'; do
  refused_start "disk=$value: expected $disk" "$mramdisk" "disk=$value"
done
refused_start "disk=…,size=x: expected $size" "$mramdisk" disk=a,size=x
refused_start "disk=…,size=: expected $size" "$mramdisk" disk=a,size=
refused_start "disk=…,sector-size=7: expected $sector" \
  "$mramdisk" disk=a,sector-size=7
refused_start "disk=…,readonly=perhaps: expected yes or no" \
  "$mramdisk" disk=a,readonly=perhaps
refused_start "disk=a,size=2M: expected a name that was not given before" \
  "$mramdisk" disk=a disk=b disk=a,size=2M

step "a value of several lines gets one line"
refused_start "size=1\\x0a2\\x7f: expected $size" "$mramdisk" $'size=1\n2\x7f'
refused_start "disk=a\\x0ab,x: expected $disk" "$mramdisk" $'disk=a\nb,x'
refused_start "unknown parameter x=\\x09: expected $keys" "$mramdisk" $'x=\t'

step "what does not go together"
refused_start "max-disks=1: expected at least 2, for so many disk= are given" \
  "$mramdisk" max-disks=1 disk=a disk=b
refused_start "auto-create=no: expected a disk= or control= with it, else \
there is nothing to connect to" "$mramdisk" auto-create=no
refused_start "default=b: expected a disk= of that name, auto-create=yes \
or control=" "$mramdisk" auto-create=no disk=a default=b
refused_start "size: the size is 16777216, expected at most max-size=1048576" \
  "$mramdisk" max-size=1M
refused_start "disk=a,sector-size=4096: the size is 16777217, expected a \
multiple of sector-size=4096" "$mramdisk" size=16777217 auto-create=no \
  disk=a,sector-size=4096

step "values that must be taken"
for parameter in size=9223372036854775807 max-memory=1M sector-size=64k \
    auto-create=ON detect-zeroes=False max-disks=10000000 disk=a,,,,b; do
  nbdkit -U - "$mramdisk" "$parameter" --run true ||
    fail "$parameter was refused, expected to be taken"
done
