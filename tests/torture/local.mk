# SPDX-License-Identifier: BSD-3-Clause
# Everything at once, through nbdkit; README.md says how to run it for hours.

check_PROGRAMS += tests/torture/check-arena
tests_torture_check_arena_SOURCES = tests/torture/check-arena.c
tests_torture_check_arena_CFLAGS = $(libmblock_ramdisk_la_CFLAGS)
tests_torture_check_arena_LDADD = $(engine_ldadd)

EXTRA_DIST += \
	tests/torture/RESULTS.md \
	tests/torture/actors.py \
	tests/torture/chains.py \
	tests/torture/hostile.py \
	tests/torture/servers.py \
	tests/torture/test-torture.sh \
	tests/torture/torture
if !SANITIZER
TESTS += tests/torture/test-torture.sh
endif
