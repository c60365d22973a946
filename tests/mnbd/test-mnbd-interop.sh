#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every kind of upstream server: read, write, zero, trim, flush, FUA, extents,
# random requests, and its list.

. "$(dirname "$0")/../mnbd-functions.sh"
both_plugins

# Each starts a server on the socket $tmp/u.sock, for the file $tmp/disk.
nbdkit_newstyle () { start_server u file "$tmp/disk"; }
# nbdkit 1.32 offers an oldstyle client flush and FUA, and then refuses them.
nbdkit_oldstyle () { plain=yes; start_server u -o file "$tmp/disk"; }
nbdkit_simple () { start_server u --no-sr file "$tmp/disk"; }
nbdkit_unfixed () { start_server u --mask-handshake=0 file "$tmp/disk"; }
fault_oldstyle () { fault_server u --set handshake=oldstyle; }
fault_unfixed () { fault_server u --set handshake=unfixed; }
fault_export_name () { fault_server u --set go=no,structured=no; }
qemu_nbd ()
{
  requires_here qemu-nbd || return
  qemu-nbd -t -e 16 -f raw -k "$tmp/u.sock" --discard=unmap \
    --detect-zeroes=unmap "$tmp/disk" 2>u.err &
  child u $!
}
qemu_nbd_qcow2 ()
{
  requires_here qemu-nbd qemu-img || return
  qemu-img create -q -f qcow2 disk.qcow2 16M
  qemu-nbd -t -e 16 -f qcow2 -k "$tmp/u.sock" --discard=unmap \
    "$tmp/disk.qcow2" 2>u.err &
  child u $!
}
qemu_storage_daemon ()
{
  requires_here qemu-storage-daemon || return
  qemu-storage-daemon \
    --blockdev driver=file,node-name=f,filename="$tmp/disk",discard=unmap \
    --nbd-server addr.type=unix,addr.path="$tmp/u.sock" \
    --export nbd,id=e,node-name=f,name=,writable=on 2>u.err &
  child u $!
}
nbd_server ()
{
  requires_here nbd-server || return
  printf '%s\n' '[generic]' "unixsock = $tmp/u.sock" \
    'allowlist = true' '[disk]' "exportname = $tmp/disk" 'trim = true' \
    >nbd.conf
  # With -d it would serve only one client, so it has to be a daemon.
  nbd-server -C "$tmp/nbd.conf" -p "$tmp/nbd-server.pid" >u.err 2>&1
  export_name=disk
}
end_nbd_server ()
{
  [ -s "$tmp/nbd-server.pid" ] || return 0
  kill "$(cat "$tmp/nbd-server.pid")"
  rm -f "$tmp/nbd-server.pid"
}
at_exit end_nbd_server
answers ()
{
  # "nbdinfo --size" of libnbd 1.22 asks before it has finished the handshake
  # with a server that knows only old ones.
  timeout 20 nbdsh -u "$(uri "$export_name" u)" -c 'h.get_size()' >out 2>&1
}
requires_here ()
{
  local p
  for p; do
    type -P "$p" >/dev/null ||
      { echo "not tried: $p is not installed"; return 1; }
  done
}

for server in nbdkit_newstyle nbdkit_oldstyle nbdkit_simple nbdkit_unfixed \
              fault_oldstyle fault_unfixed fault_export_name \
              qemu_nbd qemu_nbd_qcow2 qemu_storage_daemon nbd_server; do
  step $server
  rm -f disk
  truncate -s 16M disk
  export_name='' plain=no
  $server || continue
  wait_for "$server" answers
  start_forwarder socket="$tmp/u.sock" export="$export_name"
  export_name=$export_name plain=$plain python <<'END' || fail $server
name = os.environ["export_name"]
plain = os.environ["plain"] == "yes"
h = connect()
check("size", h.get_size(), 16 * MiB)
h.pwrite(pattern(200000), 4095)
h.pwrite(pattern(70000, 2), 150000,
         nbd.CMD_FLAG_FUA if h.can_fua() and not plain else 0)
expected = pattern(145905) + pattern(70000, 2)
check("content", h.pread(215905, 4095), expected)
if h.can_flush() and not plain:
    h.flush()
# A server that cannot zero or trim refuses the client, too.
if h.can_zero() and not plain:
    h.zero(65536, 65536)
    check("zeroes", h.pread(65536, 65536), bytes(65536))
if h.can_trim() and not plain:
    h.trim(65536, 1 * MiB)
del h

def all_extents(server, name=""):
    h = connect(name, server=server)
    return (extents(h) if h.can_meta_context("base:allocation") else "none",
            h.pread(1 * MiB, 0))

seen, direct = all_extents("s"), all_extents("u", name)
check("content, seen directly", seen[1] == direct[1], True)
if direct[0] == "none":
    # nbdkit's server offers it in any case: all is data.
    check("extents", seen[0] in ("none", [(16 * MiB, "data")]), True)
else:
    check("extents", seen[0], direct[0])
END
  options='--connections=1'
  [ $plain = no ] ||
    options+=' --fua=0 --flush=0 --zero=0 --trim=0 --no-last-flush'
  # shellcheck disable=SC2086
  "$shadow" --requests=1500 --depth=16 $options "$(uri)" >out 2>&1 ||
    fail "$server: $(cat out)"
  stop_server s
  if [ -n "${children[u]}" ]; then
    end_fault_server u
  elif [ -s u.pid ]; then
    stop_server u
  else
    end_nbd_server
  fi
  rm -f u.sock
done
