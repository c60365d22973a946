#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mnbd-mode=cache: data is read once from the upstream, written data is there,
# block status, and the output of mblockctl.

. "$(dirname "$0")/../cache-functions.sh"

# No block of this size ends where the disk does.
random_file u.orig $((8 * 1048576 + 1536))
cp u.orig disk
start_server u --filter=log file disk logfile="$tmp/u.requests"
reads ()
{
  grep -c ' Read ' u.requests || :
}

step "reads"
start_cache
check "size" "$(nbd_info "$(uri)" export-size)" 8390144
nbdcopy --request-size=65536 "$(uri)" copy
cmp copy u.orig
n=$(reads)
[ "$n" -gt 0 ] || fail "nothing was read from the upstream"
nbdcopy "$(uri)" copy
cmp copy u.orig
python <<'END'
data = open("u.orig", "rb").read()
h = connect()
for offset, n in ((0, 1), (4095, 2), (100000, 70000), (len(data) - 3, 3)):
    check("read of %d at %d" % (n, offset), h.pread(n, offset),
          data[offset:offset + n])
END
check "reads of the upstream" "$(reads)" "$n"
# A read of the upstream may include blocks that have just come by another one,
# rather than being split around them.
fetched=$(cache_stat fetched_bytes)
[ "$fetched" -ge 8390144 ] && [ "$fetched" -le $((8390144 * 5 / 4)) ] ||
  fail "fetched_bytes: $fetched, expected 8390144 or little more"
check "cached_bytes" "$(cache_stat cached_bytes)" 8392704
check "mode" "$(cache_stat mode)" writethrough

step "writes go through"
python <<'END'
h = connect()
data = bytearray(open("u.orig", "rb").read())
def put(offset, n, byte):
    data[offset:offset + n] = bytes([byte]) * n
    h.pwrite(bytes([byte]) * n, offset)
    disk = open("disk", "rb").read()
    check("upstream", disk[offset:offset + n], bytes([byte]) * n)
put(0, 10, 1)
put(4090, 10000, 2)
put(len(data) - 5, 5, 3)
h.zero(100000, 1000001)
data[1000001:1100001] = bytes(100000)
h.trim(65536, 65536)
data[65536:131072] = bytes(65536)
check("through the cache", h.pread(len(data), 0), data)
check("upstream", open("disk", "rb").read(), data)
END
check "reads of the upstream" "$(reads)" $((n + 1))

step "what mblockctl says"
export MBLOCK_SOCKET=$tmp/control
"$builddir/mblockctl" cache status >out
for line in '^Export        ""$' '^Mode          writethrough$' \
            '^Cached        ~8.0M, 100% of ~8.0M in the upstream$' \
            '^Errors        0 of the upstream, 0 of the plugin$'; do
  grep -q "$line" out || fail "'$line' is not in: $(cat out)"
done
refused "$builddir/mblockctl" cache status other
check "message" "$(cat refused)" "mblockctl: cache: there is no cache\
 of export \"other\" (ENOENT)"
refused "$builddir/mblockctl" cache stop
check "message" "$(cat refused)" "mblockctl: cache: stop: expected status"
stop_server s

step "a mode that is none"
start_server s --filter="$filter" "$mramdisk" size=16M mnbd-mode=forward \
  mnbd="$(sock_of u)" mnbd-control="$tmp/control"
refused "$builddir/mblockctl" cache status
check "message" "$(cat refused)" "mblockctl: cache: there is no cache:\
 mnbd-mode is forward (ENOENT)"
stop_server s
stop_server u

step "block status"
start_server u "$mramdisk" size=8M
python <<'END'
h = nbd.NBD()
h.connect_unix(os.environ["tmp"] + "/u.sock")
h.pwrite(b"x" * 8192, 1 << 20)
END
start_cache mnbd-cache=writeback
python <<'END'
h = connect()
h.pread(4 * MiB, 0)
check("the upstream's", extents(h),
      [(MiB, "hole"), (8192, "data"), (7 * MiB - 8192, "hole")])
h.pwrite(b"d" * 4096, 2 * MiB)
check("and what is dirty", extents(h),
      [(MiB, "hole"), (8192, "data"), (MiB - 8192, "hole"), (4096, "data"),
       (6 * MiB - 4096, "hole")])
h.flush()
check("and was", extents(h),
      [(MiB, "hole"), (8192, "data"), (MiB - 8192, "hole"), (4096, "data"),
       (6 * MiB - 4096, "hole")])
END
stop_server s
stop_server u

step "an export for each name"
start_server u "$mramdisk" size=4M disk=a disk=b
start_cache mnbd-dynamic-export=true 'mnbd-exports=*'
python <<'END'
for name in "a", "b":
    h = connect(name)
    h.pwrite(name.encode() * 4096, 0)
    check(name, h.pread(4096, 0), name.encode() * 4096)
    h.shutdown()
a = connect("a")
check("a", a.pread(4096, 0), b"a" * 4096)
END
check "caches" "$("$builddir/mblockctl" cache status | grep -c '^Export')" 2
stop_server s
