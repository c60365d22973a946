#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe for libvirt in mblock-recipes(7): libvirt accepts it.

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

requires virsh virt-xml-validate
recipe_text libvirt >disk
grep -q "<reconnect delay='60'/>" disk ||
  fail "the recipe has another form: $(cat disk)"
case $(virsh --version) in
  [0-8].* | 9.[01].*)
    step "this libvirt is too old for <reconnect>"
    sed -i '/<reconnect/d' disk ;;
esac
{
  echo "<domain type='qemu'><name>recipe</name><memory unit='MiB'>64</memory>"
  echo "<os><type arch='x86_64'>hvm</type></os><devices>"
  cat disk
  echo '</devices></domain>'
} >domain.xml
virt-xml-validate domain.xml domain >out 2>&1 || fail "$(cat out)"

step "libvirt reads what is meant"
virsh -c test:///default "define domain.xml; domblklist recipe" >out 2>&1 ||
  fail "$(cat out)"
grep -Eq '^ *vda +vm-1 *$' out || fail "the domain's disks: $(cat out)"
exit 0
