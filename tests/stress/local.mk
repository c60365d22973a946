# SPDX-License-Identifier: BSD-3-Clause
# The stress test: many threads on a few disks, against a model.

# An engine of its own, which dawdles where it hurts (STRESS_POINT in rcu.h).
check_LTLIBRARIES += libmramdisk-stress.la
libmramdisk_stress_la_SOURCES = $(libmblock_ramdisk_la_SOURCES)
libmramdisk_stress_la_CPPFLAGS = $(AM_CPPFLAGS) -DMBLOCK_STRESS
libmramdisk_stress_la_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
libmramdisk_stress_la_LIBADD = $(libmblock_ramdisk_la_LIBADD)

check_PROGRAMS += tests/stress/stress
tests_stress_stress_SOURCES = \
	tests/stress/model.c \
	tests/stress/model.h \
	tests/stress/stress.c
tests_stress_stress_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_stress_stress_LDADD = libengine-check.la libmramdisk-stress.la libmblock-base.la

TESTS += tests/stress/test-stress.sh
EXTRA_DIST += tests/stress/test-stress.sh

# The filter's cache, between two bdevs that fail.
check_PROGRAMS += tests/stress/cache-stress
tests_stress_cache_stress_SOURCES = tests/stress/cache-stress.c \
	tests/unit/cache-bdev.c tests/unit/cache-bdev.h
tests_stress_cache_stress_CFLAGS = $(AM_CFLAGS)
tests_stress_cache_stress_LDADD = libmblock-cache.la \
	libmblock-bdev.la libmblock-base.la

TESTS += tests/stress/test-cache-stress.sh
EXTRA_DIST += tests/stress/test-cache-stress.sh

# Disks over an origin.
check_PROGRAMS += tests/stress/origin-stress
tests_stress_origin_stress_SOURCES = tests/stress/origin-stress.c \
	tests/unit/origin-bdev.c tests/unit/origin-bdev.h
tests_stress_origin_stress_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_stress_origin_stress_LDADD = libengine-check.la libmramdisk-stress.la \
	libmblock-base.la

TESTS += tests/stress/test-origin-stress.sh
EXTRA_DIST += tests/stress/test-origin-stress.sh

# The control server, with clients that misbehave.
check_PROGRAMS += tests/stress/control-stress
tests_stress_control_stress_SOURCES = tests/stress/control-stress.c
tests_stress_control_stress_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_stress_control_stress_LDADD = libmblock-rpc.la libmblock-base.la \
	$(JANSSON_LIBS)

TESTS += tests/stress/test-control-stress.sh
EXTRA_DIST += tests/stress/test-control-stress.sh
