#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# rpmbuild makes the packages of the spec from the release, rpmlint has nothing
# to say, and each file is in the package where Fedora expects it.

. "$(dirname "$0")/../functions.sh"

requires rpmbuild rpmlint rpm rpm2cpio cpio autoreconf pkg-config
top=$testdir/..
[ -e "$top/configure.ac" ] || skip "there is no source tree"

step "build and rpmlint"
# The unit tests have run in this tree.
"$top/scripts/build-rpm" rpms --without check >said 2>&1 ||
  fail "$(tail -n 40 said)"
grep -q ' 0 errors, 0 warnings' rpms/rpmlint.log ||
  fail "rpmlint: $(cat rpms/rpmlint.log)"

# files PACKAGE: what it has, without folders and what rpm itself adds.
files ()
{
  local file
  file=$(echo "rpms/$1"-[0-9]*.rpm)
  [ -e "$file" ] || fail "there is no package $1: $(ls rpms)"
  rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES}\n]' "$file" 2>/dev/null |
    sed -n 's/^-[^ ]* //p' | grep -v -e /.build-id/ -e /__pycache__/ |
    sed "s|^$lib/|LIB/|; s|/python3[.0-9]*/|/python3/|" | LC_ALL=C sort
}
lib=$(rpm --eval '%{_libdir}')
doc=/usr/share/doc
licence=/usr/share/licenses

# expect PACKAGE FILE…
expect ()
{
  local package=$1
  shift
  check "the files of $package" "$(files "$package")" \
    "$(printf '%s\n' "$licence/$package/LICENSE" "$@" | LC_ALL=C sort)"
}

step "the files of each package"
for part in mramdisk-plugin mnbd-plugin mnbd-filter; do
  expect nbdkit-$part LIB/nbdkit/${part##*-}s/nbdkit-$part.so \
    /usr/share/man/man1/nbdkit-$part.1.gz
done
expect mblock-tools /usr/bin/mblockctl \
  /usr/share/bash-completion/completions/mblockctl \
  /usr/share/fish/vendor_completions.d/mblockctl.fish \
  /usr/share/zsh/site-functions/_mblockctl \
  /usr/share/man/man1/mblockctl.1.gz \
  /usr/share/man/man7/mblock-{recipes,systemd}.7.gz \
  /usr/lib/{sysusers,tmpfiles}.d/mblock.conf \
  /usr/lib/systemd/system/{mnbd,mramdisk}@.{service,socket} \
  /usr/lib/systemd/system/run-mblock.mount \
  $doc/mblock-tools/{mnbd,mramdisk}.conf
expect python3-mblock /usr/lib/python3/site-packages/mblock.py
expect mblock-doc /usr/share/man/man7/mblock-control.7.gz \
  $doc/mblock-doc/{ARCHITECTURE.md,NEWS,README.md,SCALE.md,SECURITY.md} \
  $doc/mblock-doc/{backup,boot,sandbox,upgrade} \
  $doc/mblock-doc/monitoring/{README.md,{alerts,alerts-test,prometheus}.yml} \
  $doc/mblock-doc/monitoring/dashboard.json

step "what they require"
version=$(pkg-config --modversion nbdkit)
requires_of ()
{
  rpm -qp --requires "rpms/$1"-[0-9]*.rpm 2>/dev/null
}
requires_of nbdkit-mnbd-filter |
  grep -qE "^nbdkit-server[^ ]* = ${version//./\\.}$" ||
  fail "the filter requires: $(requires_of nbdkit-mnbd-filter)"
for part in mramdisk mnbd; do
  requires_of nbdkit-$part-plugin |
    grep -qE "^nbdkit-server[^ ]* >= ${version%.*}$" ||
    fail "the plugin requires: $(requires_of nbdkit-$part-plugin)"
done

step "scriptlets are shell, and an upgrade restarts nothing"
rpm -qp --scripts rpms/mblock-tools-[0-9]*.rpm 2>/dev/null >scripts
! grep -n '^%' scripts || fail "a macro is unknown"
grep -v '^[a-z]* scriptlet (using' scripts | bash -n || fail "$(cat scripts)"
! grep -E '^[^#]*(restart|try-)' scripts || fail "it restarts servers"

step "the units name the installed plugin"
mkdir root
(cd root && rpm2cpio ../rpms/mblock-tools-[0-9]*.rpm |
   cpio -idm --quiet) 2>said || fail "$(cat said)"
grep -q "$lib/nbdkit/plugins/nbdkit-mramdisk-plugin.so" \
  root/usr/lib/systemd/system/mramdisk@.service ||
  fail "$(cat root/usr/lib/systemd/system/mramdisk@.service)"
