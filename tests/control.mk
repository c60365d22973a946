# SPDX-License-Identifier: BSD-3-Clause
# Tests of the control socket.

control_tests = \
	tests/control/test-control-bad-input.sh \
	tests/control/test-control-clients.sh \
	tests/control/test-control-clone.sh \
	tests/control/test-control-clone-together.sh \
	tests/control/test-control-destroy.sh \
	tests/control/test-control-disconnect.sh \
	tests/control/test-control-errors.sh \
	tests/control/test-control-extents-diff.sh \
	tests/control/test-control-fio-verify.sh \
	tests/control/test-control-in-use.sh \
	tests/control/test-control-jobs.sh \
	tests/control/test-control-life-cycle.sh \
	tests/control/test-control-kill.sh \
	tests/control/test-control-list.sh \
	tests/control/test-control-log.sh \
	tests/control/test-control-manual.sh \
	tests/control/test-control-methods.sh \
	tests/control/test-control-names.sh \
	tests/control/test-control-outage-too-long.sh \
	tests/control/test-control-parameters.sh \
	tests/control/test-control-pull.sh \
	tests/control/test-control-pull-hung.sh \
	tests/control/test-control-push.sh \
	tests/control/test-control-push-again.sh \
	tests/control/test-control-push-outage.sh \
	tests/control/test-control-push-restart.sh \
	tests/control/test-control-peers.sh \
	tests/control/test-control-python.sh \
	tests/control/test-control-quota.sh \
	tests/control/test-control-replace.sh \
	tests/control/test-control-resize.sh \
	tests/control/test-control-save.sh \
	tests/control/test-control-save-again.sh \
	tests/control/test-control-save-files.sh \
	tests/control/test-control-save-hostile.sh \
	tests/control/test-control-save-kill.sh \
	tests/control/test-control-save-meanwhile.sh \
	tests/control/test-control-save-names.sh \
	tests/control/test-control-save-origin.sh \
	tests/control/test-control-slow-reader.sh \
	tests/control/test-control-socket.sh \
	tests/control/test-control-stats.sh \
	tests/control/test-control-subscribe.sh \
	tests/control/test-control-under-load.sh \
	tests/control/test-control-uuid.sh

check_LTLIBRARIES += tests/control/same-names.la
tests_control_same_names_la_SOURCES = tests/control/same-names.c
tests_control_same_names_la_LIBADD = -ldl
tests_control_same_names_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -rpath /nowhere

EXTRA_DIST += tests/controltest.py tests/manualtest.py $(control_tests)
# A plugin with a sanitizer cannot be loaded into an nbdkit without one.
if !SANITIZER
TESTS += $(control_tests)
endif
