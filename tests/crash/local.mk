# SPDX-License-Identifier: BSD-3-Clause
# Processes that end in the middle, and the recovery of their arenas.

# An engine that can be made to end after any store (crash-point.h).
check_LTLIBRARIES += libmblock-ramdisk-crash.la
libmblock_ramdisk_crash_la_SOURCES = $(libmblock_ramdisk_la_SOURCES)
libmblock_ramdisk_crash_la_CPPFLAGS = $(AM_CPPFLAGS) -DMBLOCK_CRASH
libmblock_ramdisk_crash_la_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
libmblock_ramdisk_crash_la_LIBADD = $(libmblock_ramdisk_la_LIBADD)

crash_world = \
	tests/crash/world.c \
	tests/crash/world.h \
	tests/crash/world-origin.c \
	tests/crash/world-uuid.c \
	tests/stress/model.c \
	tests/stress/model.h
crash_ldflags = -Wl,--wrap=uuid_new      # world-uuid.c
crash_ldadd = libengine-check.la libmblock-ramdisk-crash.la libmblock-base.la

check_PROGRAMS += tests/crash/crash
tests_crash_crash_SOURCES = tests/crash/crash.c $(crash_world)
tests_crash_crash_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_crash_crash_LDFLAGS = $(AM_LDFLAGS) $(crash_ldflags)
tests_crash_crash_LDADD = $(crash_ldadd)

# These have the engine as it is.
engine_ldadd = libengine-check.la libmblock-ramdisk.la libmblock-base.la

check_PROGRAMS += tests/crash/kill
tests_crash_kill_SOURCES = tests/crash/kill.c $(crash_world)
tests_crash_kill_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_crash_kill_LDFLAGS = $(AM_LDFLAGS) $(crash_ldflags)
tests_crash_kill_LDADD = $(engine_ldadd)

check_PROGRAMS += tests/crash/damage
tests_crash_damage_SOURCES = tests/crash/damage.c $(crash_world)
tests_crash_damage_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_crash_damage_LDFLAGS = $(AM_LDFLAGS) $(crash_ldflags)
tests_crash_damage_LDADD = $(engine_ldadd)

crash_tests = \
	tests/crash/test-crash.sh \
	tests/crash/test-damage.sh \
	tests/crash/test-kill.sh
TESTS += $(crash_tests)
EXTRA_DIST += $(crash_tests)
