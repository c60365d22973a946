#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The recipe for pytest in mblock-recipes(7): each test has a disk of its own.

. "$(dirname "$0")/../functions.sh"
. "$testdir/recipe-functions.sh"

/usr/bin/python3 -c 'import pytest' 2>/dev/null ||
  skip "Python's module pytest is not installed"
recipe_server
golden_image
recipe_text "A fixture for pytest" >conftest.py
cat >test_disk.py <<'END'
import nbd

def test_is_writable(disk):
    h = nbd.NBD()
    h.connect_uri(disk)
    assert h.get_size() == 1 << 30
    h.pwrite(b"x" * 512, 0)
    h.shutdown()

def test_is_new(disk):
    h = nbd.NBD()
    h.connect_uri(disk)
    assert h.pread(512, 0) == bytes(512)
    h.shutdown()
END
PYTHONPATH=$testdir/../python /usr/bin/python3 -m pytest -q -p no:cacheprovider \
  >out 2>&1 || fail "$(cat out)"
grep -q '^2 passed' out || fail "the tests: $(cat out)"
names=$(mblockctl list --names | tr '\n' ' ')
check "the disks" "$names" "golden vm-1 vm-2 vm-3 "
exit 0
