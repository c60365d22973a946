# SPDX-License-Identifier: BSD-3-Clause
# Unit tests: no nbdkit, no server.

noinst_HEADERS += tests/abort.h tests/big-answer.h tests/random.h \
	tests/unit/all-of.h tests/unit/bdev-parts.h tests/unit/be-client.h \
	tests/unit/unit.h

check_LTLIBRARIES += libengine-check.la
libengine_check_la_SOURCES = tests/unit/engine-check.c tests/unit/engine-check.h
libengine_check_la_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)

unit_cflags = $(libmblock_ramdisk_la_CFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = libengine-check.la libmblock-ramdisk.la libmblock-rpc.la \
	libmblock-base.la $(CMOCKA_LIBS)

unit_tests = \
	tests/unit/test-arena \
	tests/unit/test-bitmap \
	tests/unit/test-control \
	tests/unit/test-disk \
	tests/unit/test-disk-changes \
	tests/unit/test-disk-clone \
	tests/unit/test-disk-extents \
	tests/unit/test-extents \
	tests/unit/test-stats \
	tests/unit/test-jsonrpc \
	tests/unit/test-kept \
	tests/unit/test-memlimit \
	tests/unit/test-mirror \
	tests/unit/test-mirror-control \
	tests/unit/test-mirror-stall \
	tests/unit/test-mirror-switch \
	tests/unit/test-mnbd-block-size \
	tests/unit/test-mnbd-cache \
	tests/unit/test-mnbd-pool \
	tests/unit/test-mnbd-debts \
	tests/unit/test-mnbd-replay \
	tests/unit/test-mnbd-socket \
	tests/unit/test-mnbd-watchdog \
	tests/unit/test-mnbd-uri \
	tests/unit/test-mnbd-wire \
	tests/unit/test-origin \
	tests/unit/test-origin-ahead \
	tests/unit/test-origin-file \
	tests/unit/test-mnbd-witness \
	tests/unit/test-quota \
	tests/unit/test-ranges \
	tests/unit/test-recover \
	tests/unit/test-registry \
	tests/unit/test-remote \
	tests/unit/test-same \
	tests/unit/test-saved \
	tests/unit/test-size \
	tests/unit/test-text \
	tests/unit/test-unfinished \
	tests/unit/test-unix-socket

if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
else
TESTS += tests/unit/no-cmocka.sh
endif
EXTRA_DIST += tests/unit/no-cmocka.sh

tests_unit_test_arena_SOURCES = tests/unit/test-arena.c
tests_unit_test_arena_CFLAGS = $(unit_cflags)
tests_unit_test_arena_LDADD = $(unit_ldadd)

disk_fixture = tests/unit/disk-fixture.c tests/unit/disk-fixture.h
tests_unit_test_disk_SOURCES = tests/unit/test-disk.c $(disk_fixture) \
	tests/unit/disk-shadow.c tests/unit/disk-shadow.h
tests_unit_test_disk_CFLAGS = $(unit_cflags)
tests_unit_test_disk_LDADD = $(unit_ldadd)

tests_unit_test_disk_changes_SOURCES = tests/unit/test-disk-changes.c \
	$(disk_fixture)
tests_unit_test_disk_changes_CFLAGS = $(unit_cflags)
tests_unit_test_disk_changes_LDADD = $(unit_ldadd)

tests_unit_test_kept_SOURCES = tests/unit/test-kept.c $(disk_fixture)
tests_unit_test_kept_CFLAGS = $(unit_cflags)
tests_unit_test_kept_LDADD = libmblock-save.la libmblock-job.la $(unit_ldadd)

tests_unit_test_unfinished_SOURCES = tests/unit/test-unfinished.c
tests_unit_test_unfinished_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_unfinished_LDADD = libmblock-transfer.la $(CMOCKA_LIBS)

tests_unit_test_disk_clone_SOURCES = tests/unit/test-disk-clone.c \
	$(disk_fixture)
tests_unit_test_disk_clone_CFLAGS = $(unit_cflags)
tests_unit_test_disk_clone_LDADD = $(unit_ldadd)

tests_unit_test_disk_extents_SOURCES = tests/unit/test-disk-extents.c \
	$(disk_fixture)
tests_unit_test_disk_extents_CFLAGS = $(unit_cflags)
tests_unit_test_disk_extents_LDADD = $(unit_ldadd)

tests_unit_test_memlimit_SOURCES = tests/unit/test-memlimit.c
tests_unit_test_memlimit_CFLAGS = $(unit_cflags)
tests_unit_test_memlimit_LDADD = $(unit_ldadd)

tests_unit_test_mnbd_debts_SOURCES = tests/unit/test-mnbd-debts.c
tests_unit_test_mnbd_debts_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_debts_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_replay_SOURCES = tests/unit/test-mnbd-replay.c
tests_unit_test_mnbd_replay_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_replay_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_block_size_SOURCES = tests/unit/test-mnbd-block-size.c
tests_unit_test_mnbd_block_size_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_block_size_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_pool_SOURCES = tests/unit/test-mnbd-pool.c
tests_unit_test_mnbd_pool_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_pool_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_remote_SOURCES = tests/unit/test-remote.c \
	plugins/mramdisk/remote.c plugins/mramdisk/remote.h
tests_unit_test_remote_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(LIBNBD_CFLAGS)
tests_unit_test_remote_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_socket_SOURCES = tests/unit/test-mnbd-socket.c
tests_unit_test_mnbd_socket_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_socket_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)
tests_unit_test_mnbd_watchdog_SOURCES = tests/unit/test-mnbd-watchdog.c
tests_unit_test_mnbd_watchdog_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_watchdog_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_wire_SOURCES = tests/unit/test-mnbd-wire.c
tests_unit_test_mnbd_wire_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_wire_LDADD = libmblock-nbd.la libmblock-bdev.la \
	libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_recover_SOURCES = tests/unit/test-recover.c \
	tests/unit/origin-bdev.c tests/unit/origin-bdev.h
tests_unit_test_recover_CFLAGS = $(unit_cflags)
tests_unit_test_recover_LDADD = $(unit_ldadd)

tests_unit_test_registry_SOURCES = tests/unit/test-registry.c
tests_unit_test_registry_CFLAGS = $(unit_cflags)
tests_unit_test_registry_LDADD = $(unit_ldadd)

tests_unit_test_size_SOURCES = tests/unit/test-size.c
tests_unit_test_size_CFLAGS = $(unit_cflags)
tests_unit_test_size_LDADD = $(unit_ldadd)

control_fixture = \
	tests/unit/control-fixture.c \
	tests/unit/control-fixture.h
tests_unit_test_control_SOURCES = tests/unit/test-control.c $(control_fixture)
tests_unit_test_control_CFLAGS = $(unit_cflags)
tests_unit_test_control_LDADD = $(unit_ldadd)

tests_unit_test_unix_socket_SOURCES = tests/unit/test-unix-socket.c \
	$(control_fixture)
tests_unit_test_unix_socket_CFLAGS = $(unit_cflags)
tests_unit_test_unix_socket_LDADD = $(unit_ldadd)

tests_unit_test_stats_SOURCES = tests/unit/test-stats.c
tests_unit_test_stats_CFLAGS = $(unit_cflags)
tests_unit_test_stats_LDADD = $(unit_ldadd)

tests_unit_test_jsonrpc_SOURCES = tests/unit/test-jsonrpc.c
tests_unit_test_jsonrpc_CFLAGS = $(unit_cflags)
tests_unit_test_jsonrpc_LDADD = $(unit_ldadd)

tests_unit_test_quota_SOURCES = tests/unit/test-quota.c
tests_unit_test_quota_CFLAGS = $(unit_cflags)
tests_unit_test_quota_LDADD = $(unit_ldadd)

tests_unit_test_same_SOURCES = tests/unit/test-same.c
tests_unit_test_same_CFLAGS = $(unit_cflags)
tests_unit_test_same_LDADD = $(unit_ldadd)

tests_unit_test_saved_SOURCES = tests/unit/test-saved.c
tests_unit_test_saved_CFLAGS = $(unit_cflags) $(JANSSON_CFLAGS)
tests_unit_test_saved_LDADD = libmblock-save.la libmblock-job.la $(unit_ldadd) \
	$(JANSSON_LIBS)

tests_unit_test_origin_SOURCES = tests/unit/test-origin.c \
	tests/unit/origin-bdev.c tests/unit/origin-bdev.h
tests_unit_test_origin_CFLAGS = $(unit_cflags)
tests_unit_test_origin_LDADD = $(unit_ldadd)

tests_unit_test_origin_ahead_SOURCES = tests/unit/test-origin-ahead.c \
	tests/unit/origin-bdev.c tests/unit/origin-bdev.h
tests_unit_test_origin_ahead_CFLAGS = $(unit_cflags)
tests_unit_test_origin_ahead_LDADD = $(unit_ldadd)

tests_unit_test_origin_file_SOURCES = tests/unit/test-origin-file.c \
	tests/unit/origin-bdev.c tests/unit/origin-bdev.h
tests_unit_test_origin_file_CFLAGS = $(unit_cflags)
tests_unit_test_origin_file_LDADD = $(unit_ldadd)

tests_unit_test_ranges_SOURCES = tests/unit/test-ranges.c
tests_unit_test_ranges_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ranges_LDADD = libmblock-bdev.la $(CMOCKA_LIBS)

mirror_fixture = \
	tests/unit/memory-bdev.c \
	tests/unit/memory-bdev.h \
	tests/unit/mirror-fixture.c \
	tests/unit/mirror-fixture.h
mirror_ldadd = libmblock-mirror.la libmblock-bdev.la libmblock-base.la \
	$(CMOCKA_LIBS)

tests_unit_test_mirror_SOURCES = tests/unit/test-mirror.c $(mirror_fixture)
tests_unit_test_mirror_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mirror_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc
tests_unit_test_mirror_LDADD = $(mirror_ldadd)

tests_unit_test_mirror_control_SOURCES = tests/unit/test-mirror-control.c \
	$(mirror_fixture)
tests_unit_test_mirror_control_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mirror_control_LDADD = $(mirror_ldadd)

fake_clock = tests/unit/fake-clock.c tests/unit/fake-clock.h
fake_clock_ldflags = \
	-Wl,--wrap=clock_gettime,--wrap=pthread_cond_timedwait

tests_unit_test_mirror_stall_SOURCES = tests/unit/test-mirror-stall.c \
	$(mirror_fixture) $(fake_clock)
tests_unit_test_mirror_stall_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mirror_stall_LDFLAGS = $(AM_LDFLAGS) $(fake_clock_ldflags) \
	-Wl,--wrap=pthread_mutex_lock
tests_unit_test_mirror_stall_LDADD = $(mirror_ldadd)

tests_unit_test_mirror_switch_SOURCES = tests/unit/test-mirror-switch.c \
	$(mirror_fixture)
tests_unit_test_mirror_switch_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mirror_switch_LDADD = $(mirror_ldadd)

tests_unit_test_mnbd_cache_SOURCES = tests/unit/test-mnbd-cache.c \
	tests/unit/cache-bdev.c tests/unit/cache-bdev.h
tests_unit_test_mnbd_cache_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_cache_LDADD = libmblock-cache.la \
	libmblock-bdev.la libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_extents_SOURCES = tests/unit/test-extents.c
tests_unit_test_extents_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_extents_LDADD = libmblock-bdev.la $(CMOCKA_LIBS)

tests_unit_test_bitmap_SOURCES = tests/unit/test-bitmap.c
tests_unit_test_bitmap_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_bitmap_LDADD = libmblock-bdev.la $(CMOCKA_LIBS)

tests_unit_test_text_SOURCES = tests/unit/test-text.c
tests_unit_test_text_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_text_LDADD = libmblock-base.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_witness_SOURCES = tests/unit/test-mnbd-witness.c
tests_unit_test_mnbd_witness_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_witness_LDADD = libmblock-nbd.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_uri_SOURCES = tests/unit/test-mnbd-uri.c
tests_unit_test_mnbd_uri_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_uri_LDADD = libmblock-nbd.la $(CMOCKA_LIBS)
