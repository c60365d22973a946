# SPDX-License-Identifier: BSD-3-Clause
# The mnbd filter, through nbdkit; its upstreams and clients are mnbd.mk's.

EXTRA_DIST += \
	tests/cache-functions.sh \
	tests/filter-functions.sh \
	tests/mirror-functions.sh \
	tests/mirrortest.py \
	tests/plugin-tests.sh

filter_tests = \
	tests/filter/test-mblockctl-mirror.sh \
	tests/filter/test-mnbd-filter-as-plugin-compat.sh \
	tests/filter/test-mnbd-filter-as-plugin-crashes.sh \
	tests/filter/test-mnbd-filter-as-plugin-faults.sh \
	tests/filter/test-mnbd-filter-bad-parameters.sh \
	tests/filter/test-mnbd-filter-block-status.sh \
	tests/filter/test-mnbd-filter-cache-away.sh \
	tests/filter/test-mnbd-filter-cache-block-size.sh \
	tests/filter/test-mnbd-filter-cache-evict.sh \
	tests/filter/test-mnbd-filter-cache-lost.sh \
	tests/filter/test-mnbd-filter-cache-one-read.sh \
	tests/filter/test-mnbd-filter-cache-origin.sh \
	tests/filter/test-mnbd-filter-cache-owed.sh \
	tests/filter/test-mnbd-filter-cache-plugin.sh \
	tests/filter/test-mnbd-filter-cache-refused.sh \
	tests/filter/test-mnbd-filter-cache-restart.sh \
	tests/filter/test-mnbd-filter-cache-volatile.sh \
	tests/filter/test-mnbd-filter-cache-writeback.sh \
	tests/filter/test-mnbd-filter-cache.sh \
	tests/filter/test-mnbd-filter-control.sh \
	tests/filter/test-mnbd-filter-description.sh \
	tests/filter/test-mnbd-filter-examples.sh \
	tests/filter/test-mnbd-filter-forward-names.sh \
	tests/filter/test-mnbd-filter-forward.sh \
	tests/filter/test-mnbd-filter-loop.sh \
	tests/filter/test-mnbd-filter-manual.sh \
	tests/filter/test-mnbd-filter-metrics.sh \
	tests/filter/test-mnbd-filter-mirror-control.sh \
	tests/filter/test-mnbd-filter-mirror-fio.sh \
	tests/filter/test-mnbd-filter-mirror-flush.sh \
	tests/filter/test-mnbd-filter-mirror-hang.sh \
	tests/filter/test-mnbd-filter-mirror-identity.sh \
	tests/filter/test-mnbd-filter-mirror-lost.sh \
	tests/filter/test-mnbd-filter-mirror-on-error.sh \
	tests/filter/test-mnbd-filter-mirror-one-wait.sh \
	tests/filter/test-mnbd-filter-mirror-primary.sh \
	tests/filter/test-mnbd-filter-mirror-refused.sh \
	tests/filter/test-mnbd-filter-mirror-resize.sh \
	tests/filter/test-mnbd-filter-mirror-sharing.sh \
	tests/filter/test-mnbd-filter-mirror-stop.sh \
	tests/filter/test-mnbd-filter-mirror-storm.sh \
	tests/filter/test-mnbd-filter-mirror-switch.sh \
	tests/filter/test-mnbd-filter-mirror.sh \
	tests/filter/test-mnbd-filter-over.sh \
	tests/filter/test-mnbd-filter-pairs-names.sh \
	tests/filter/test-mnbd-filter-pairs-over.sh \
	tests/filter/test-mnbd-filter-pairs-reopen.sh \
	tests/filter/test-mnbd-filter-pairs-replaced.sh \
	tests/filter/test-mnbd-filter-shutdown-clients.sh \
	tests/filter/test-mnbd-filter-shutdown-methods.sh \
	tests/filter/test-mnbd-filter-shutdown-pairs.sh \
	tests/filter/test-mnbd-filter-shutdown.sh \
	tests/filter/test-mnbd-filter-thread-model.sh \
	tests/filter/test-mnbd-filter-threads.sh \
	tests/filter/test-mnbd-filter-version.sh

EXTRA_DIST += $(filter_tests)
if !SANITIZER
TESTS += $(filter_tests)
endif
