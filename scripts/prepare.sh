# SPDX-License-Identifier: BSD-3-Clause
# What quickstart, run-tests and .ci/run share: installing the packages that
# are missing, and building in a folder.  Read with "." by bash, after top (the
# source tree) and me (the name for messages) are set.

# group|Debian package|how to check that it is installed|its purpose
#   cmd: a command    pc: a pkg-config module    py: a Python module
package_table='
build|gcc|cmd:gcc|compiles it
build|libc6-dev|cmd:gcc|the C library, to compile with
build|make|cmd:make|builds it
build|autoconf|cmd:autoreconf|makes configure
build|automake|cmd:automake|makes Makefile.in
build|libtool|cmd:libtoolize|builds the plugin
build|pkg-config|cmd:pkg-config|finds the libraries
build|perl|cmd:pod2man|pod2man, makes the manual
build|nbdkit|cmd:nbdkit|the NBD server that loads the plugin
build|nbdkit-plugin-dev|pc:nbdkit|headers for nbdkit plugins and filters
build|liburcu-dev|pc:liburcu-memb|read-copy-update, for reads without locks
build|libjansson-dev|pc:jansson|JSON and UTF-8
build|libnbd-dev|pc:libnbd|the NBD client library, for mnbd
build|libmicrohttpd-dev|pc:libmicrohttpd|HTTP, for mblockctl exporter
demo|libnbd-bin|cmd:nbdcopy|nbdcopy and nbdinfo, NBD clients
demo|python3-libnbd|py:nbd|nbdsh, to script a disk in Python
demo|e2fsprogs|cmd:mke2fs|mke2fs, e2fsck and debugfs
test|libcmocka-dev|pc:cmocka|unit tests
test|libnbd-bin|cmd:nbdcopy|nbdcopy, nbdinfo and nbdfuse
test|python3-libnbd|py:nbd|nbdsh
test|qemu-utils|cmd:qemu-img|qemu-img and qemu-io, other NBD clients
test|fio|cmd:fio|load with verification
test|fuse3|cmd:fusermount3|nbdfuse, for mounted file systems
test|e2fsprogs|cmd:mke2fs|ext4
test|xfsprogs|cmd:mkfs.xfs|xfs
test|btrfs-progs|cmd:mkfs.btrfs|btrfs
test|mount|cmd:losetup|loop mounts
test|gnutls-bin|cmd:certtool|certificates, for tests with TLS
test|nbd-server|cmd:nbd-server|one more server behind mnbd
test|qemu-system-x86|cmd:qemu-system-x86_64|a virtual machine with a RAM disk
test|libvirt-clients|cmd:virsh|checks an example for libvirt
test|postgresql|cmd:pg_lsclusters|a database on a RAM disk
test|python3-pytest|py:pytest|runs an example for pytest
test|python3-yaml|py:yaml|reads the workflow for a forge
test|strace|cmd:strace|kills a server at a system call
test|procps|cmd:pgrep|finds the guests of an example
test|iproute2|cmd:ip|takes a network away from a server
test|git|cmd:git|tells what a build leaves in the tree
test|clang|cmd:clang|builds the fuzzers
test|zsh|cmd:zsh|completion for zsh
test|fish|cmd:fish|completion for fish
test|prometheus|cmd:promtool|scrapes the exporter, and checks the alerts
test|libclang-rt-dev|cmd:clang|libFuzzer
test|gnuplot-nox|cmd:gnuplot|plots of the report of benchmarks
bench|fio|cmd:fio|load
bench|gnuplot-nox|cmd:gnuplot|plots
bench|libnbd-bin|cmd:nbdcopy|nbdcopy, a peer
bench|mount|cmd:losetup|loop mounts
bench|nbd-server|cmd:nbd-server|a peer
bench|python3-libnbd|py:nbd|runs the benchmarks
bench|qemu-utils|cmd:qemu-img|qemu-nbd and qemu-img, peers
bench|xfsprogs|cmd:mkfs.xfs|xfs, for reflinks
real|fio|cmd:fio|load with verification
real|fuse3|cmd:fusermount3|disks as files
real|mount|cmd:losetup|loop mounts
real|e2fsprogs|cmd:mke2fs|ext4
real|xfsprogs|cmd:mkfs.xfs|xfs
real|btrfs-progs|cmd:mkfs.btrfs|btrfs
real|postgresql|cmd:pg_lsclusters|a database
real|libnbd-bin|cmd:nbdfuse|nbdfuse and nbdcopy
real|python3-libnbd|py:nbd|nbdsh
real|qemu-utils|cmd:qemu-nbd|serves images
ceph|ceph-mon|cmd:ceph-mon|a cluster of one node
ceph|ceph-mgr|cmd:ceph-mgr|its manager
ceph|ceph-osd|cmd:ceph-osd|its storage
ceph|ceph-common|cmd:rbd|images in it
ceph|qemu-utils|cmd:qemu-nbd|serves them
ceph|qemu-block-extra|cmd:qemu-nbd|RBD for qemu-nbd
deb|dpkg-dev|cmd:dpkg-buildpackage|builds Debian packages
deb|debhelper|cmd:dh|the rules of Debian packages
deb|fakeroot|cmd:fakeroot|the owners of files in packages
deb|lintian|cmd:lintian|checks packages
rpm|rpm|cmd:rpmbuild|builds RPM packages
rpm|rpmlint|cmd:rpmlint|checks RPM packages
rpm|cpio|cmd:cpio|unpacks them, for tests
vm|qemu-system-x86|cmd:qemu-system-x86_64|boots a virtual machine
vm|e2fsprogs|cmd:mke2fs|makes its disk
vm|binutils|cmd:as|assembles a tiny guest
vm|qemu-utils|cmd:qemu-nbd|serves its image
vm|debootstrap|cmd:debootstrap|makes a fresh Debian
vm|git|cmd:git|clones the tree for a fresh Debian
nspawn|systemd-container|cmd:systemd-nspawn|boots a container
nspawn|debootstrap|cmd:debootstrap|makes a fresh Debian
nspawn|git|cmd:git|clones the tree for a fresh Debian
ci|clang|cmd:clang|checks the locking at compile time
ci|spin|cmd:spin|searches the states of models
ci|xz-utils|cmd:xz|packs the release
ci|git|cmd:git|clones the tree for a fresh Debian
ci|debootstrap|cmd:debootstrap|makes a fresh Debian
'

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8

die () {
  echo "$me: $*" >&2
  exit 1
}

package_is_there () {           # HOW
  case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    py:*) python3 -c "import ${1#py:}" 2>/dev/null ||
            /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
  esac
}

# Print "package|purpose" for the missing packages of some groups.
packages_missing () {           # HAS_DPKG GROUP...
  local has_dpkg=$1 group package how purpose seen=' '
  shift
  while IFS='|' read -r group package how purpose; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    case $seen in *" $package "*) continue ;; esac
    seen="$seen$package "
    if $has_dpkg; then
      case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ?i*) continue ;;
      esac
    elif package_is_there "$how"; then
      continue
    fi
    echo "$package|$purpose"
  done <<< "$package_table"
}

# Run a command that installs packages, without starting the servers that they
# bring (invoke-rc.d(8)).
install_without_starting () {   # SUDO COMMAND...
  local sudo=$1 policy=/usr/sbin/policy-rc.d
  shift
  # Packages that add a user lock a file in it; some containers lack it.
  [ -d /run ] || $sudo mkdir /run
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  (
    trap '$sudo rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
    "$@"
  )
}

# Install the missing packages of some groups with apt-get; on other systems,
# say what is needed.  The log is shown only on failure.
packages_install () {           # GROUP...
  local missing has_dpkg=false sudo='' log names
  if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    has_dpkg=true
  fi
  missing=$(packages_missing $has_dpkg "$@")
  if [ -z "$missing" ]; then
    echo "    All packages are there."
  else
    names=$(cut -d'|' -f1 <<< "$missing" | tr '\n' ' ')
    names=${names% }
    echo "    Missing, by the names of the Debian packages:"
    while IFS='|' read -r package purpose; do
      printf '      %-18s %s\n' "$package" "$purpose"
    done <<< "$missing"
    $has_dpkg ||
      die "this is no Debian: install what these packages hold, and try again"
    if [ "$(id -u)" != 0 ]; then
      # It asks for a password on the terminal, if there is one.
      sudo=sudo
      [ -t 2 ] || sudo='sudo -n'
      $sudo true 2>/dev/null || die "cannot install without root;" \
        "type as root: apt-get install $names"
    fi
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    set -- $sudo apt-get -q -o DPkg::Lock::Timeout=300
    echo "    \$ ${sudo:+sudo }apt-get update"
    "$@" update </dev/null >"$log" 2>&1 ||
      echo "    (failed; trying with the package lists there are)"
    echo "    \$ ${sudo:+sudo }apt-get install --no-install-recommends $names" |
      fold -s -w 68 | sed '2,$s/^/        /; $!s/$/\\/'
    if ! install_without_starting "$sudo" \
         "$@" install -y --no-install-recommends $names \
         </dev/null >>"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      die "cannot install: $names"
    fi
    rm -f "$log"
  fi
  # nbdsh takes the first python3 there is; Debian's has the nbd module.
  if ! python3 -c 'import nbd' 2>/dev/null &&
      /usr/bin/python3 -c 'import nbd' 2>/dev/null; then
    PATH=/usr/bin:$PATH
  fi
}

# Run a step of the build; the log is shown only on failure.
build_step () {                 # LOG COMMAND...
  local log=$1
  shift
  if ! "$@" </dev/null >>"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "'$*' failed; all of its output is in ${log#"$top"/}"
  fi
}

# Configure in a folder of the source tree, unless that is done, and build.  If
# the arguments differ from those of the last time, begin afresh.
build_in () {                   # FOLDER CONFIGURE-ARGUMENT...
  local dir=$top/$1 log=$top/$1/build.log arguments jobs
  shift
  arguments="$* CFLAGS=${CFLAGS-}"
  jobs=$(nproc)
  if [ -e "$top/config.status" ]; then
    die "this tree is configured in place; run 'make distclean' first"
  fi
  if [ ! -e "$dir/Makefile" ] ||
      [ "$(cat "$dir/.arguments" 2>/dev/null)" != "$arguments" ]; then
    rm -rf "$dir"
    mkdir -p "$dir"
    if [ ! -e "$top/configure" ]; then
      echo "    \$ autoreconf -fi"
      (cd "$top" && build_step "$log" autoreconf -fi) || exit 1
    fi
    echo "    \$ mkdir -p ${dir#"$top"/} && cd ${dir#"$top"/} &&" \
         "../configure${*:+ $*}"
    (cd "$dir" && build_step "$log" ../configure "$@") || exit 1
    echo "$arguments" > "$dir/.arguments"
  fi
  echo "    \$ make -C ${dir#"$top"/} -j$jobs"
  build_step "$log" make -C "$dir" -j"$jobs"
}

# Make the release of the tree as it is, in a folder, from a copy: the tree is
# left alone.
make_release () {               # FOLDER
  local tree=$1/tree
  mkdir -p "$tree/build"
  (cd "$top" && tar -cf - --exclude=.git --exclude='./build*/*' \
     --exclude=./config.status --exclude=./autom4te.cache .) |
    tar -C "$tree" -xf -
  chmod -R u+w "$tree"
  (cd "$tree" && build_step "$1/log" autoreconf -fi &&
     cd build && build_step "$1/log" ../configure &&
     build_step "$1/log" make dist && mv mblock-*.tar.xz "$1/") || exit 1
  rm -rf "$tree"
}
