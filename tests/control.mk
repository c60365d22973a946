# SPDX-License-Identifier: BSD-3-Clause
# Tests of the control socket.

control_tests = \
	tests/test-control-bad-input.sh \
	tests/test-control-clients.sh \
	tests/test-control-clone.sh \
	tests/test-control-destroy.sh \
	tests/test-control-errors.sh \
	tests/test-control-extents-diff.sh \
	tests/test-control-fio-verify.sh \
	tests/test-control-life-cycle.sh \
	tests/test-control-list.sh \
	tests/test-control-log.sh \
	tests/test-control-manual.sh \
	tests/test-control-methods.sh \
	tests/test-control-names.sh \
	tests/test-control-parameters.sh \
	tests/test-control-quota.sh \
	tests/test-control-replace.sh \
	tests/test-control-resize.sh \
	tests/test-control-slow-reader.sh \
	tests/test-control-socket.sh \
	tests/test-control-stats.sh \
	tests/test-control-subscribe.sh \
	tests/test-control-under-load.sh

EXTRA_DIST += tests/controltest.py tests/manualtest.py $(control_tests)
# A plugin with a sanitizer cannot be loaded into an nbdkit without one.
if !SANITIZER
TESTS += $(control_tests)
endif
