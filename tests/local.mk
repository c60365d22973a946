# SPDX-License-Identifier: BSD-3-Clause
# Tests.  README.md says what there is, and how to run and write one.

EXTRA_DIST += \
	tests/README.md \
	tests/functions.sh \
	tests/nbdfuse-functions.sh \
	tests/nbdtest.py

AM_TESTS_ENVIRONMENT = \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

# ------------------------------------------- the plugin, through nbdkit
# A plugin with a sanitizer cannot be loaded into an nbdkit without one;
# sanitizer/ has one with it.
mramdisk_tests = \
	tests/test-mramdisk-auto-create.sh \
	tests/test-mramdisk-bad-parameters.sh \
	tests/test-mramdisk-bare-connect.sh \
	tests/test-mramdisk-boundaries.sh \
	tests/test-mramdisk-concurrent.sh \
	tests/test-mramdisk-connections.sh \
	tests/test-mramdisk-default-name.sh \
	tests/test-mramdisk-default-size.sh \
	tests/test-mramdisk-detect-zeroes.sh \
	tests/test-mramdisk-disconnect.sh \
	tests/test-mramdisk-disk-parameter.sh \
	tests/test-mramdisk-dump-plugin.sh \
	tests/test-mramdisk-export-list.sh \
	tests/test-mramdisk-extents.sh \
	tests/test-mramdisk-fast-zero.sh \
	tests/test-mramdisk-filter-blocksize-policy.sh \
	tests/test-mramdisk-filter-blocksize.sh \
	tests/test-mramdisk-filter-cache.sh \
	tests/test-mramdisk-filter-cow.sh \
	tests/test-mramdisk-filter-delay.sh \
	tests/test-mramdisk-filter-error.sh \
	tests/test-mramdisk-filter-offset.sh \
	tests/test-mramdisk-filter-partition.sh \
	tests/test-mramdisk-filter-readahead.sh \
	tests/test-mramdisk-filter-stats.sh \
	tests/test-mramdisk-filter-truncate.sh \
	tests/test-mramdisk-fio.sh \
	tests/test-mramdisk-flush-fua-cache.sh \
	tests/test-mramdisk-help.sh \
	tests/test-mramdisk-huge.sh \
	tests/test-mramdisk-log-limit.sh \
	tests/test-mramdisk-max-disks.sh \
	tests/test-mramdisk-max-memory-default.sh \
	tests/test-mramdisk-max-memory.sh \
	tests/test-mramdisk-max-size.sh \
	tests/test-mramdisk-memory-returns.sh \
	tests/test-mramdisk-multi-conn.sh \
	tests/test-mramdisk-name-limits.sh \
	tests/test-mramdisk-nbdcopy.sh \
	tests/test-mramdisk-nbdfuse-ext4.sh \
	tests/test-mramdisk-nbdfuse-xfs.sh \
	tests/test-mramdisk-nbdinfo.sh \
	tests/test-mramdisk-oldstyle.sh \
	tests/test-mramdisk-overlap.sh \
	tests/test-mramdisk-past-end.sh \
	tests/test-mramdisk-probe-race.sh \
	tests/test-mramdisk-probe.sh \
	tests/test-mramdisk-qemu-img.sh \
	tests/test-mramdisk-qemu-io.sh \
	tests/test-mramdisk-readonly-disk.sh \
	tests/test-mramdisk-readonly-server.sh \
	tests/test-mramdisk-sector-size.sh \
	tests/test-mramdisk-shadow.sh \
	tests/test-mramdisk-shared.sh \
	tests/test-mramdisk-swap.sh \
	tests/test-mramdisk-thread-model.sh \
	tests/test-mramdisk-tls-certificates.sh \
	tests/test-mramdisk-tls-psk.sh \
	tests/test-mramdisk-trim.sh \
	tests/test-mramdisk-verbose.sh \
	tests/test-mramdisk-written-stays.sh \
	tests/test-mramdisk-zero-reserves-nothing.sh \
	tests/test-mramdisk-zero.sh

EXTRA_DIST += $(mramdisk_tests)
if !SANITIZER
TESTS += $(mramdisk_tests)
endif
