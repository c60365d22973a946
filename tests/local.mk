# SPDX-License-Identifier: BSD-3-Clause
# Tests.  README.md says what there is, and how to run and write one.

EXTRA_DIST += \
	tests/README.md \
	tests/example-functions.sh \
	tests/functions.sh \
	tests/kill-shadow.py \
	tests/nbdfuse-functions.sh \
	tests/recipe-functions.sh \
	tests/nbdtest.py \
	tests/shadowdisks.py

AM_TESTS_ENVIRONMENT = \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

# ------------------------------------------- the plugin, through nbdkit
# A plugin with a sanitizer cannot be loaded into an nbdkit without one;
# sanitizer/ has one with it.
check_LTLIBRARIES += tests/client-sockets-plugin.la
tests_client_sockets_plugin_la_SOURCES = tests/client-sockets-plugin.c
tests_client_sockets_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)
tests_client_sockets_plugin_la_LIBADD = libmblock-end-clients.la \
	libmblock-export-name.la libmblock-base.la
# rpath: or libtool would not make a module that can be loaded.
tests_client_sockets_plugin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -rpath /nowhere

mramdisk_tests = \
	tests/mramdisk/test-mramdisk-arena.sh \
	tests/mramdisk/test-mramdisk-arena-origin.sh \
	tests/mramdisk/test-mramdisk-arena-bad.sh \
	tests/mramdisk/test-mramdisk-arena-edges.sh \
	tests/mramdisk/test-mramdisk-arena-full.sh \
	tests/mramdisk/test-mramdisk-arena-file-systems.sh \
	tests/mramdisk/test-mramdisk-auto-create.sh \
	tests/mramdisk/test-mramdisk-bad-parameters.sh \
	tests/mramdisk/test-mramdisk-bare-connect.sh \
	tests/mramdisk/test-mramdisk-boundaries.sh \
	tests/mramdisk/test-mramdisk-buffers.sh \
	tests/mramdisk/test-mramdisk-client-sockets.sh \
	tests/mramdisk/test-mramdisk-concurrent.sh \
	tests/mramdisk/test-mramdisk-connections.sh \
	tests/mramdisk/test-mramdisk-default-name.sh \
	tests/mramdisk/test-mramdisk-default-size.sh \
	tests/mramdisk/test-mramdisk-detect-zeroes.sh \
	tests/mramdisk/test-mramdisk-disconnect.sh \
	tests/mramdisk/test-mramdisk-disk-parameter.sh \
	tests/mramdisk/test-mramdisk-dump-plugin.sh \
	tests/mramdisk/test-mramdisk-ending.sh \
	tests/mramdisk/test-mramdisk-ending-load.sh \
	tests/mramdisk/test-mramdisk-ephemeral-race.sh \
	tests/mramdisk/test-mramdisk-ephemeral.sh \
	tests/mramdisk/test-mramdisk-error-texts.sh \
	tests/mramdisk/test-mramdisk-export-list.sh \
	tests/mramdisk/test-mramdisk-extents-sectors.sh \
	tests/mramdisk/test-mramdisk-extents.sh \
	tests/mramdisk/test-mramdisk-fast-zero.sh \
	tests/mramdisk/test-mramdisk-filter-blocksize-policy.sh \
	tests/mramdisk/test-mramdisk-filter-blocksize.sh \
	tests/mramdisk/test-mramdisk-filter-cache.sh \
	tests/mramdisk/test-mramdisk-filter-cow.sh \
	tests/mramdisk/test-mramdisk-filter-delay.sh \
	tests/mramdisk/test-mramdisk-filter-error.sh \
	tests/mramdisk/test-mramdisk-filter-offset.sh \
	tests/mramdisk/test-mramdisk-filter-partition.sh \
	tests/mramdisk/test-mramdisk-filter-readahead.sh \
	tests/mramdisk/test-mramdisk-filter-stats.sh \
	tests/mramdisk/test-mramdisk-filter-truncate.sh \
	tests/mramdisk/test-mramdisk-fio.sh \
	tests/mramdisk/test-mramdisk-flush-fua-cache.sh \
	tests/mramdisk/test-mramdisk-help.sh \
	tests/mramdisk/test-mramdisk-huge.sh \
	tests/mramdisk/test-mramdisk-load.sh \
	tests/mramdisk/test-mramdisk-log-limit.sh \
	tests/mramdisk/test-mramdisk-max-disks.sh \
	tests/mramdisk/test-mramdisk-max-memory-default.sh \
	tests/mramdisk/test-mramdisk-max-memory.sh \
	tests/mramdisk/test-mramdisk-max-size.sh \
	tests/mramdisk/test-mramdisk-memory-limit.sh \
	tests/mramdisk/test-mramdisk-memory-returns.sh \
	tests/mramdisk/test-mramdisk-multi-conn.sh \
	tests/mramdisk/test-mramdisk-munlock.sh \
	tests/mramdisk/test-mramdisk-name-limits.sh \
	tests/mramdisk/test-mramdisk-nbdcopy.sh \
	tests/mramdisk/test-mramdisk-nbdfuse-ext4.sh \
	tests/mramdisk/test-mramdisk-nbdfuse-xfs.sh \
	tests/mramdisk/test-mramdisk-nbdinfo.sh \
	tests/mramdisk/test-mramdisk-oldstyle.sh \
	tests/mramdisk/test-mramdisk-origin.sh \
	tests/mramdisk/test-mramdisk-origin-faults.sh \
	tests/mramdisk/test-mramdisk-origin-hung.sh \
	tests/mramdisk/test-mramdisk-origin-outage.sh \
	tests/mramdisk/test-mramdisk-origin-servers.sh \
	tests/mramdisk/test-mramdisk-overlap.sh \
	tests/mramdisk/test-mramdisk-past-end.sh \
	tests/mramdisk/test-mramdisk-qemu-img.sh \
	tests/mramdisk/test-mramdisk-qemu-io.sh \
	tests/mramdisk/test-mramdisk-readonly-disk.sh \
	tests/mramdisk/test-mramdisk-readonly-server.sh \
	tests/mramdisk/test-mramdisk-sector-size.sh \
	tests/mramdisk/test-mramdisk-shadow.sh \
	tests/mramdisk/test-mramdisk-shared.sh \
	tests/mramdisk/test-mramdisk-swap.sh \
	tests/mramdisk/test-mramdisk-template-load.sh \
	tests/mramdisk/test-mramdisk-template.sh \
	tests/mramdisk/test-mramdisk-thread-model.sh \
	tests/mramdisk/test-mramdisk-tls-certificates.sh \
	tests/mramdisk/test-mramdisk-tls-psk.sh \
	tests/mramdisk/test-mramdisk-trim.sh \
	tests/mramdisk/test-mramdisk-verbose.sh \
	tests/mramdisk/test-mramdisk-written-stays.sh \
	tests/mramdisk/test-mramdisk-zero-reserves-nothing.sh \
	tests/mramdisk/test-mramdisk-zero.sh

EXTRA_DIST += $(mramdisk_tests)
if !SANITIZER
TESTS += $(mramdisk_tests)
endif
