# SPDX-License-Identifier: BSD-3-Clause
# Unit tests: no nbdkit, no server.

noinst_HEADERS += tests/unit/unit.h

check_LTLIBRARIES += libengine-check.la
libengine_check_la_SOURCES = tests/engine-check.c tests/engine-check.h
libengine_check_la_CPPFLAGS = $(libmramdisk_engine_la_CPPFLAGS)
libengine_check_la_CFLAGS = $(libmramdisk_engine_la_CFLAGS)

unit_cppflags = $(libmramdisk_engine_la_CPPFLAGS) -I$(top_srcdir)/tests
unit_cflags = $(libmramdisk_engine_la_CFLAGS) $(CMOCKA_CFLAGS)
unit_ldadd = libengine-check.la libmramdisk-engine.la libmblock-common.la \
	$(CMOCKA_LIBS)

unit_tests = \
	tests/unit/test-arena \
	tests/unit/test-bitmap \
	tests/unit/test-control \
	tests/unit/test-disk \
	tests/unit/test-figures \
	tests/unit/test-jsonrpc \
	tests/unit/test-memlimit \
	tests/unit/test-mirror \
	tests/unit/test-mnbd-cache \
	tests/unit/test-mnbd-replay \
	tests/unit/test-mnbd-socket \
	tests/unit/test-mnbd-wire \
	tests/unit/test-quota \
	tests/unit/test-ranges \
	tests/unit/test-registry \
	tests/unit/test-size

if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
else
TESTS += tests/unit/no-cmocka.sh
endif
EXTRA_DIST += tests/unit/no-cmocka.sh

tests_unit_test_arena_SOURCES = tests/unit/test-arena.c
tests_unit_test_arena_CPPFLAGS = $(unit_cppflags)
tests_unit_test_arena_CFLAGS = $(unit_cflags)
tests_unit_test_arena_LDADD = $(unit_ldadd)

tests_unit_test_disk_SOURCES = tests/unit/test-disk.c
tests_unit_test_disk_CPPFLAGS = $(unit_cppflags)
tests_unit_test_disk_CFLAGS = $(unit_cflags)
tests_unit_test_disk_LDADD = $(unit_ldadd)

tests_unit_test_memlimit_SOURCES = tests/unit/test-memlimit.c
tests_unit_test_memlimit_CPPFLAGS = $(unit_cppflags)
tests_unit_test_memlimit_CFLAGS = $(unit_cflags)
tests_unit_test_memlimit_LDADD = $(unit_ldadd)

tests_unit_test_mnbd_replay_SOURCES = tests/unit/test-mnbd-replay.c
tests_unit_test_mnbd_replay_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS)
tests_unit_test_mnbd_replay_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_replay_LDADD = libmnbd-engine.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_socket_SOURCES = tests/unit/test-mnbd-socket.c
tests_unit_test_mnbd_socket_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS)
tests_unit_test_mnbd_socket_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_socket_LDADD = libmnbd-engine.la $(CMOCKA_LIBS)

tests_unit_test_mnbd_wire_SOURCES = tests/unit/test-mnbd-wire.c
tests_unit_test_mnbd_wire_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS)
tests_unit_test_mnbd_wire_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_wire_LDADD = libmnbd-engine.la $(CMOCKA_LIBS)

tests_unit_test_registry_SOURCES = tests/unit/test-registry.c
tests_unit_test_registry_CPPFLAGS = $(unit_cppflags)
tests_unit_test_registry_CFLAGS = $(unit_cflags)
tests_unit_test_registry_LDADD = $(unit_ldadd)

tests_unit_test_size_SOURCES = tests/unit/test-size.c
tests_unit_test_size_CPPFLAGS = $(unit_cppflags)
tests_unit_test_size_CFLAGS = $(unit_cflags)
tests_unit_test_size_LDADD = $(unit_ldadd)

tests_unit_test_control_SOURCES = tests/unit/test-control.c
tests_unit_test_control_CPPFLAGS = $(unit_cppflags)
tests_unit_test_control_CFLAGS = $(unit_cflags)
tests_unit_test_control_LDADD = $(unit_ldadd)

tests_unit_test_figures_SOURCES = tests/unit/test-figures.c
tests_unit_test_figures_CPPFLAGS = $(unit_cppflags)
tests_unit_test_figures_CFLAGS = $(unit_cflags)
tests_unit_test_figures_LDADD = $(unit_ldadd)

tests_unit_test_jsonrpc_SOURCES = tests/unit/test-jsonrpc.c
tests_unit_test_jsonrpc_CPPFLAGS = $(unit_cppflags)
tests_unit_test_jsonrpc_CFLAGS = $(unit_cflags)
tests_unit_test_jsonrpc_LDADD = $(unit_ldadd)

tests_unit_test_quota_SOURCES = tests/unit/test-quota.c
tests_unit_test_quota_CPPFLAGS = $(unit_cppflags)
tests_unit_test_quota_CFLAGS = $(unit_cflags)
tests_unit_test_quota_LDADD = $(unit_ldadd)

tests_unit_test_ranges_SOURCES = tests/unit/test-ranges.c
tests_unit_test_ranges_CPPFLAGS = $(libmnbd_filter_engine_la_CPPFLAGS)
tests_unit_test_ranges_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ranges_LDADD = libmnbd-filter-engine.la $(CMOCKA_LIBS)

tests_unit_test_mirror_SOURCES = tests/unit/test-mirror.c \
	tests/unit/memory-side.c tests/unit/memory-side.h
tests_unit_test_mirror_CPPFLAGS = $(libmnbd_filter_engine_la_CPPFLAGS)
tests_unit_test_mirror_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mirror_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc
tests_unit_test_mirror_LDADD = libmnbd-filter-engine.la libmblock-common.la \
	$(CMOCKA_LIBS)

tests_unit_test_mnbd_cache_SOURCES = tests/unit/test-mnbd-cache.c \
	tests/cache-side.c tests/cache-side.h
tests_unit_test_mnbd_cache_CPPFLAGS = $(libmnbd_filter_engine_la_CPPFLAGS) \
	-I$(top_srcdir)/tests
tests_unit_test_mnbd_cache_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mnbd_cache_LDADD = libmnbd-filter-engine.la \
	libmblock-common.la $(CMOCKA_LIBS)

tests_unit_test_bitmap_SOURCES = tests/unit/test-bitmap.c
tests_unit_test_bitmap_CPPFLAGS = $(libmnbd_filter_engine_la_CPPFLAGS)
tests_unit_test_bitmap_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_bitmap_LDADD = libmnbd-filter-engine.la $(CMOCKA_LIBS)
