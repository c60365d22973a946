# SPDX-License-Identifier: BSD-3-Clause
# Tests through an nbdkit that has the runtime of a sanitizer, so that it can
# load plugins and a filter that were built with it (configure
# --enable-sanitizer).  Any report fails the test.

EXTRA_DIST += \
	tests/sanitizer/nbdkit \
	tests/sanitizer/run-test.sh

if SANITIZER
check_LTLIBRARIES += tests/sanitizer/begin.la
tests_sanitizer_begin_la_SOURCES = tests/sanitizer/begin.c
tests_sanitizer_begin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -rpath /nowhere -Wl,-z,initfirst
endif

# Faults, outages, wrong input and ends: where memory may be used after it was
# freed.  Within two minutes on two processors.
sanitizer_tests = \
	$(filter tests/test-mnbd-fault-%,$(mnbd_tests:.sh=)) \
	tests/test-control-bad-input \
	tests/test-control-destroy \
	tests/test-mnbd-extents \
	tests/test-mnbd-filter-cache-evict \
	tests/test-mnbd-filter-cache-volatile \
	tests/test-mnbd-filter-cache-writeback \
	tests/test-mnbd-filter-mirror-lost \
	tests/test-mnbd-filter-mirror-on-error \
	tests/test-mnbd-filter-shutdown \
	tests/test-mnbd-flush-error \
	tests/test-mnbd-replay-order \
	tests/test-mnbd-shutdown \
	tests/test-mnbd-volatile-control \
	tests/test-mramdisk-disconnect \
	tests/test-mramdisk-shadow

.PHONY: check-sanitizer-nbdkit
check-sanitizer-nbdkit: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(sanitizer_tests:=.sh)' \
	  SH_LOG_COMPILER='$(srcdir)/tests/sanitizer/run-test.sh'
