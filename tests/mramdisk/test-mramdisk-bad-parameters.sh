#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each bad parameter is refused at the start, with one line that says why.

. "$(dirname "$0")/../functions.sh"

size='a size such as 512, 64k, 1.5G, 10GiB or 10GB'
most='at most 2^63-1 bytes'
sector='a power of two from 512 to 65536'
parts='size=, sector-size=, readonly=, origin=, prefetch= or prefetch-rate='
keys='size, disk, origin-memory, auto-create, template, template-quota, auto-destroy, '
keys+='default, control, control-mode, control-group, sector-size, max-memory, max-size, max-disks, max-connections, max-request, '
keys+='detect-zeroes, detect-same, arena, arena-wait, arena-discard, arena-salvage, load, '
keys+='allocator or parallel'
allocator='sparse, malloc or malloc,mlock=no'

# Wrong values: each line has a parameter, and what is expected there.
while IFS='|' read -r parameter expected; do
  case $expected in
    size) expected=$size ;;
    most) expected=$most ;;
    sector) expected=$sector ;;
    allocator) expected=$allocator ;;
  esac
  refused_start "$parameter: expected $expected" "$mramdisk" "$parameter"
done <<'END'
size=|size
size=x|size
size=-1|size
size=+1|size
size= 1|size
size=1.5|size
size=1Gi|size
size=1 |size
size=0x10|size
size=1iB|size
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
auto-destroy=maybe|yes or no
origin-memory=x|size
origin-memory=1023k|at least 1M
detect-same=maybe|yes or no
template-quota=x|size
detect-zeroes=2|yes or no
parallel=sometimes|auto, yes or no
parallel=|auto, yes or no
max-connections=0|a number from 1 to 1000000
max-connections=1000001|a number from 1 to 1000000
max-connections=all|a number from 1 to 1000000
max-request=0|a power of two from 64k to 64M
max-request=32k|a power of two from 64k to 64M
max-request=128M|a power of two from 64k to 64M
max-request=100000|a power of two from 64k to 64M
max-request=big|a power of two from 64k to 64M
allocator=|allocator
allocator=SPARSE|allocator
allocator=sparse,mlock=no|allocator
allocator=malloc,|allocator
allocator=malloc,mlock|allocator
allocator=malloc,mlock=maybe|allocator
allocator=zstd2|allocator
arena=|the path of a file
load=|the path of a folder
arena-wait=|a whole number of seconds from 0 to 86400
arena-wait=-1|a whole number of seconds from 0 to 86400
arena-wait=1k|a whole number of seconds from 0 to 86400
arena-wait=86401|a whole number of seconds from 0 to 86400
arena-discard=perhaps|yes or no
arena-salvage=2|yes or no
END

step "allocator="
for value in zstd zstd,level=3; do
  refused_start "allocator=$value: expected sparse or malloc: pages are \
accessed in place and cannot be compressed" \
    "$mramdisk" allocator=$value
done
refused_start "allocator=malloc,mlock=true: expected no mlock: to lock the \
memory, use nbdkit's options --swap and -f" \
  "$mramdisk" allocator=malloc,mlock=true

step "unknown keys"
for parameter in foo=1 sizes=1M SIZE=1M Max-Size=1M; do
  refused_start "unknown parameter $parameter: expected $keys" \
    "$mramdisk" "$parameter"
done

step "disk="
while IFS='|' read -r value name part; do
  refused_start "disk=$name: unknown option \"$part\": expected $parts" \
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
refused_start "disk=a,size=2M: expected a name that no earlier disk= has" \
  "$mramdisk" disk=a disk=b disk=a,size=2M

step "a value of several lines gets one line"
refused_start "size=1\\x0a2\\x7f: expected $size" "$mramdisk" $'size=1\n2\x7f'
refused_start "disk=a\\x0ab: unknown option \"x\\x09\": expected $parts" \
  "$mramdisk" $'disk=a\nb,x\t'
refused_start "disk=a\\x0ab,size=: expected $size" "$mramdisk" \
  $'disk=a\nb,size='
refused_start "unknown parameter x=\\x09: expected $keys" "$mramdisk" $'x=\t'

step "what does not go together"
for option in arena-wait=1 arena-discard=yes arena-salvage=no; do
  refused_start "${option%%=*}=: expected arena= as well" "$mramdisk" "$option"
done
refused_start "max-disks=1: expected at least 2, the number of disk= parameters" \
  "$mramdisk" max-disks=1 disk=a disk=b
refused_start "auto-create=no: expected disk=, control=, arena= or load= as \
well, or there is nothing to connect to" "$mramdisk" auto-create=no
refused_start "default=b: expected a disk= of that name, auto-create=yes, \
control=, arena= or load=" "$mramdisk" auto-create=no disk=a default=b
refused_start "default=foo: expected no disk= with an empty name: the \
empty name means \"foo\"" "$mramdisk" default=foo disk=,size=1M
refused_start "size=100G: expected at most max-size=1M" \
  "$mramdisk" max-size=1M size=100G
refused_start "size=513: expected a multiple of sector-size=512" \
  "$mramdisk" size=513 sector-size=512
refused_start "disk=a,,b,size=2k: expected a multiple of sector-size=4096" \
  "$mramdisk" disk=a,,b,size=2k,sector-size=4k
refused_start "disk=a, from size=16777217: expected a multiple of \
sector-size=4096" "$mramdisk" size=16777217 auto-create=no \
  disk=a,sector-size=4096
refused_start "disk=a, from size=3M: expected at most max-size=2M" \
  "$mramdisk" size=3M max-size=2M auto-create=no disk=a

step "a limit of address space"
(
  ulimit -v 8000000
  refused_start "max-memory=100G: cannot reserve this much address space: \
Cannot allocate memory; expected a smaller max-memory= or a higher limit on \
address space (ulimit -v)" "$mramdisk" max-memory=100G
)

step "values that must be taken"
for parameter in size=9223372036854775807 max-memory=1M sector-size=64k \
    auto-create=ON detect-zeroes=False max-disks=10000000 max-disks=1k \
    parallel=AUTO parallel=on parallel=True parallel=1 parallel=N \
    disk=a,,,,b max-connections=1 max-connections=1k max-request=64k \
    max-request=64M allocator=sparse allocator=malloc allocator=malloc,mlock=no; do
  nbdkit -U - "$mramdisk" "$parameter" --run true ||
    fail "$parameter was refused, expected to be taken"
done
