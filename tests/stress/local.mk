# SPDX-License-Identifier: BSD-3-Clause
# The stress test: many threads on a few disks, against a model.

# An engine of its own, which dawdles where it hurts (STRESS_POINT in rcu.h).
check_LTLIBRARIES += libmramdisk-stress.la
libmramdisk_stress_la_SOURCES = $(libmramdisk_engine_la_SOURCES)
libmramdisk_stress_la_CPPFLAGS = \
	$(libmramdisk_engine_la_CPPFLAGS) -DMBLOCK_STRESS
libmramdisk_stress_la_CFLAGS = $(libmramdisk_engine_la_CFLAGS)
libmramdisk_stress_la_LIBADD = $(libmramdisk_engine_la_LIBADD)

check_PROGRAMS += tests/stress/stress
tests_stress_stress_SOURCES = \
	tests/stress/model.c \
	tests/stress/model.h \
	tests/stress/stress.c
tests_stress_stress_CPPFLAGS = $(unit_cppflags)
tests_stress_stress_CFLAGS = $(libmramdisk_engine_la_CFLAGS)
tests_stress_stress_LDADD = libengine-check.la libmramdisk-stress.la

TESTS += tests/stress/test-stress.sh
EXTRA_DIST += tests/stress/test-stress.sh

# The filter's cache, between two sides that fail.
check_PROGRAMS += tests/stress/cache-stress
tests_stress_cache_stress_SOURCES = tests/stress/cache-stress.c \
	tests/cache-side.c tests/cache-side.h
tests_stress_cache_stress_CPPFLAGS = \
	$(libmnbd_filter_engine_la_CPPFLAGS) -I$(top_srcdir)/tests
tests_stress_cache_stress_CFLAGS = $(AM_CFLAGS)
tests_stress_cache_stress_LDADD = libmnbd-filter-engine.la \
	libmblock-common.la

TESTS += tests/stress/test-cache-stress.sh
EXTRA_DIST += tests/stress/test-cache-stress.sh
