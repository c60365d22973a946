# SPDX-License-Identifier: BSD-3-Clause
# Tests through an nbdkit that has the runtime of a sanitizer, so that it can
# load plugins and a filter that were built with it (configure
# --enable-sanitizer).  Any report fails the test.

EXTRA_DIST += \
	tests/sanitizer/nbdkit \
	tests/sanitizer/run-test.sh \
	tests/sanitizer/thread.supp

if SANITIZER
check_LTLIBRARIES += tests/sanitizer/begin.la
tests_sanitizer_begin_la_SOURCES = tests/sanitizer/begin.c
tests_sanitizer_begin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -rpath /nowhere -Wl,-z,initfirst
endif

# Faults, outages, wrong input and ends: where memory may be used after it was
# freed.  Within two minutes on two processors; so without those faults that are
# mostly waited for.
sanitizer_tests = \
	$(filter-out %-handshake-hangs %-never-answers %-no-server %-trickle, \
	$(filter tests/mnbd/test-mnbd-fault-%,$(mnbd_tests:.sh=))) \
	tests/control/test-control-bad-input \
	tests/control/test-control-destroy \
	tests/mnbd/test-mnbd-extents \
	tests/filter/test-mnbd-filter-cache-evict \
	tests/filter/test-mnbd-filter-cache-volatile \
	tests/filter/test-mnbd-filter-cache-writeback \
	tests/filter/test-mnbd-filter-mirror-lost \
	tests/filter/test-mnbd-filter-mirror-on-error \
	tests/filter/test-mnbd-filter-shutdown \
	tests/mnbd/test-mnbd-flush-error \
	tests/mnbd/test-mnbd-replay-order \
	tests/mnbd/test-mnbd-shutdown \
	tests/mnbd/test-mnbd-volatile-control \
	tests/mramdisk/test-mramdisk-disconnect \
	tests/mramdisk/test-mramdisk-shadow

.PHONY: check-sanitizer-nbdkit
check-sanitizer-nbdkit: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(sanitizer_tests:=.sh)' \
	  SH_LOG_COMPILER='$(srcdir)/tests/sanitizer/run-test.sh'
