# SPDX-License-Identifier: BSD-3-Clause
# What quickstart, run-tests and .ci/run share: installing the packages that
# are missing, and building in a folder.  Read with "." by bash, after top (the
# source tree) and me (the name for messages) are set.

# group|Debian package|how to see that it is there|what it is for
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
test|mount|cmd:losetup|loop mounts
test|gnutls-bin|cmd:certtool|certificates, for tests with TLS
ci|clang|cmd:clang|checks the locking at compile time
ci|xz-utils|cmd:xz|packs the release
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

# Print "package|purpose" for what is missing of some groups.
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

# Install what is missing of some groups, with apt-get; elsewhere say what is
# needed.  The log is shown only if it fails.
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
      sudo='sudo -n'
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
    if ! "$@" install -y --no-install-recommends $names \
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

# Run a step of the build; the log is shown only if it fails.
build_step () {                 # LOG COMMAND...
  local log=$1
  shift
  if ! "$@" </dev/null >>"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "'$*' failed; all of its output is in ${log#"$top"/}"
  fi
}

# Configure in a folder of the source tree, if it is not, and build.  If the
# arguments are others than the last time it begins afresh.
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
