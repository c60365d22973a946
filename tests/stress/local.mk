# SPDX-License-Identifier: BSD-3-Clause
# The stress test: many threads on a few disks, against a model.

check_PROGRAMS += tests/stress/stress
tests_stress_stress_SOURCES = \
	tests/stress/model.c \
	tests/stress/model.h \
	tests/stress/stress.c
tests_stress_stress_CPPFLAGS = $(unit_cppflags)
tests_stress_stress_CFLAGS = $(libmramdisk_engine_la_CFLAGS)
tests_stress_stress_LDADD = libengine-check.la libmramdisk-engine.la

TESTS += tests/stress/test-stress.sh
EXTRA_DIST += tests/stress/test-stress.sh
