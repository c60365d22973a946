# SPDX-License-Identifier: BSD-3-Clause
# Short runs of the real systems.  ../README.md says how to run them for long.

real_tests = \
	tests/real/test-real-arguments.sh \
	tests/real/test-real-btrfs.sh \
	tests/real/test-real-ceph.sh \
	tests/real/test-real-ext4.sh \
	tests/real/test-real-guests.sh \
	tests/real/test-real-postgresql.sh \
	tests/real/test-real-xfs.sh

EXTRA_DIST += $(real_tests) \
	tests/real/RESULTS.md \
	tests/real/ceph \
	tests/real/file-load.py \
	tests/real/filesystems \
	tests/real/functions.sh \
	tests/real/guests \
	tests/real/make-guest \
	tests/real/postgresql \
	tests/real/short.sh \
	tests/real/upgrade
# They load the plugins into nbdkit, which has no sanitizer.
if !SANITIZER
TESTS += $(real_tests)
endif
