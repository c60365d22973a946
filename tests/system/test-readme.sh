#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The README's examples can be pasted from top to bottom: each block of commands
# runs, with nothing but what the blocks before it have made, and ends what it
# started.

. "$(dirname "$0")/../functions.sh"

requires nbdcopy nbdinfo nbdfuse fusermount3 mkfs.ext4 python3
for f in mramdisk.so mnbd.so mnbd-filter.so mblockctl; do
  [ -e "$builddir/$f" ] || fail "$builddir/$f does not exist; run make first"
done

# As if it were installed: nbdkit finds the plugins and the filter by name.
mkdir bin
cat >bin/nbdkit <<END
#!/usr/bin/env bash
arguments=()
for a; do
  case \$a in
    mramdisk | mnbd) a=$builddir/\$a.so ;;
    --filter=mnbd) a=--filter=$builddir/mnbd-filter.so ;;
  esac
  arguments+=("\$a")
done
exec $(type -P nbdkit) "\${arguments[@]}"
END
chmod +x bin/nbdkit
ln -s "$builddir/mblockctl" bin/mblockctl
PATH=$tmp/bin:$PATH

# What is left of a block that failed.
end_all ()
{
  local p
  for p in "$tmp"/*.pid; do
    [ ! -s "$p" ] || kill "$(cat "$p")" 2>/dev/null
  done
  ! mountpoint -q "$tmp/mnt" || umount -l "$tmp/mnt"
  ! mountpoint -q "$tmp/fs" || fusermount3 -u -z "$tmp/fs"
}
at_exit end_all

# The blocks, with the test's own folder instead of /tmp, and not as large an
# image.
python3 - "$testdir/../README.md" <<'END'
import os, re, sys
text = open(sys.argv[1], encoding="utf-8").read()
blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
n = 0
for block in blocks:
    if "./quickstart" in block or "apt-get" in block:
        continue
    n += 1
    block = block.replace("/tmp/", os.environ["tmp"] + "/")
    block = block.replace("-d /usr/include ", "-d /usr/include/linux ")
    open("block-%02d.sh" % n, "w").write(block)
END
check "blocks of examples in the README" "$(ls block-*.sh | wc -l)" 8

for block in block-*.sh; do
  step "$(head -n 1 "$block")"
  if grep -q '^mount ' "$block"; then
    if [ "$(id -u)" != 0 ] || [ ! -e /dev/fuse ]; then
      echo "not run: it mounts, which needs root and FUSE"
      continue
    fi
  fi
  rm -f ./*.pid
  timeout 600 bash -euo pipefail "$block" </dev/null >out 2>&1 ||
    fail "$block: $(cat "$block" out)"
  for p in *.pid; do
    [ -e "$p" ] || continue
    for _ in {1..300}; do
      kill -0 "$(cat "$p")" 2>/dev/null || break
      sleep 0.1
    done
    ! kill -0 "$(cat "$p")" 2>/dev/null || fail "$block leaves a server: $p"
  done
  for s in *.sock; do
    [ ! -e "$s" ] || fail "$block leaves $s: it would fail the second time"
  done
done
