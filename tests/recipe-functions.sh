# SPDX-License-Identifier: BSD-3-Clause
# What the tests of mblock-recipes(7) share: they run the text of the page, with
# other paths.  To be sourced by bash, after functions.sh.

page=$testdir/../docs/mblock-recipes.pod
mkdir bin dev mnt srv
ln -s "$builddir/mblockctl" bin/mblockctl
PATH=$tmp/bin:$PATH
export MBLOCK_SOCKET=$tmp/control

# recipe_server PARAMETERS…: the server of the synopsis.
recipe_server ()
{
  serve control=control max-memory=1G "$@"
}

# recipe_text TITLE: print all code of a recipe.
recipe_text ()
{
  awk -v title="=head2 $1" '
    /^=head/ { on = $0 == title }
    on && /^ / { print substr ($0, 2) }' "$page" |
    sed "s|/tmp/nbd.sock|$tmp/s.sock|g; s|/tmp/mblock.sock|$tmp/control|g
         s|/dev/nbd|$tmp/dev/nbd|g; s|/mnt\b|$tmp/mnt|g; s|/srv/|$tmp/srv/|g" \
      >text
  [ -s text ] || fail "the page has no code for '$1'"
  cat text
}

# recipe_run TITLE [EDIT]: run a recipe's code, changed by a script of sed.
recipe_run ()
{
  recipe_text "$1" | sed -e "${2:-}" >recipe
  bash -e recipe >out 2>&1 || {
    cat out >&2
    fail "the recipe '$1' does not work"
  }
}

# golden_image: what most recipes begin with, the disk "golden" and its clones.
golden_image ()
{
  requires qemu-img qemu-nbd
  recipe_run "A golden image from a qcow2 file"
}

# stand_in NAME: a command for programs that cannot run here, with standard
# input as its script.
stand_in ()
{
  {
    echo '#!/usr/bin/env bash'
    echo 'set -e'
    cat
  } >"bin/$1"
  chmod +x "bin/$1"
}

# block_devices: nbd-client without the kernel's driver, which many machines
# lack: a loop device on a file of nbdfuse.
block_devices ()
{
  requires_nbdfuse
  export tmp
  stand_in modprobe <<<'[ "$1" = nbd ]'
  stand_in nbd-client <<'END'
if [ "$1" = -d ]; then
  losetup -d "$(readlink "$2")"
  rm "$2"
  # The loop device may need its file for a moment.
  for ((i = 0; i < 600; i++)); do
    fusermount3 -u "$2.fuse" 2>/dev/null && exit
    sleep 0.05
  done
  exit 1
fi
[ "$1" = -unix ] && [ "$4" = -name ] && [ $# -le 6 ]
[ $# = 5 ] || [ "$6" = -persist ]
mkdir -p "$3.fuse"
nbdfuse "$3.fuse" "nbd+unix:///$5?socket=$2" >"$3.log" 2>&1 &
for ((i = 0; i < 600; i++)); do
  [ ! -e "$3.fuse/nbd" ] || break
  sleep 0.05
done
ln -s "$(losetup -f --show "$3.fuse/nbd")" "$3"
END
  at_exit disconnect_all
}

disconnect_all ()
{
  local dev
  umount "$tmp"/mnt "$tmp"/srv/* 2>/dev/null
  for dev in "$tmp"/dev/nbd*; do
    [ ! -L "$dev" ] || "$tmp/bin/nbd-client" -d "$dev"
  done
}
