# SPDX-License-Identifier: BSD-3-Clause
# The mnbd filter, through nbdkit; its upstreams and clients are mnbd.mk's.

EXTRA_DIST += \
	tests/cache-functions.sh \
	tests/filter-functions.sh \
	tests/mirror-functions.sh \
	tests/mirrortest.py \
	tests/plugin-tests.sh

filter_tests = \
	tests/test-mblockctl-mirror.sh \
	tests/test-mnbd-filter-as-plugin-compat.sh \
	tests/test-mnbd-filter-as-plugin-crashes.sh \
	tests/test-mnbd-filter-as-plugin-faults.sh \
	tests/test-mnbd-filter-bad-parameters.sh \
	tests/test-mnbd-filter-cache-away.sh \
	tests/test-mnbd-filter-cache-block-size.sh \
	tests/test-mnbd-filter-cache-evict.sh \
	tests/test-mnbd-filter-cache-one-read.sh \
	tests/test-mnbd-filter-cache-plugin.sh \
	tests/test-mnbd-filter-cache-refused.sh \
	tests/test-mnbd-filter-cache-restart.sh \
	tests/test-mnbd-filter-cache-volatile.sh \
	tests/test-mnbd-filter-cache-writeback.sh \
	tests/test-mnbd-filter-cache.sh \
	tests/test-mnbd-filter-control.sh \
	tests/test-mnbd-filter-description.sh \
	tests/test-mnbd-filter-examples.sh \
	tests/test-mnbd-filter-forward-names.sh \
	tests/test-mnbd-filter-forward.sh \
	tests/test-mnbd-filter-loop.sh \
	tests/test-mnbd-filter-manual.sh \
	tests/test-mnbd-filter-metrics.sh \
	tests/test-mnbd-filter-mirror-control.sh \
	tests/test-mnbd-filter-mirror-fio.sh \
	tests/test-mnbd-filter-mirror-flush.sh \
	tests/test-mnbd-filter-mirror-lost.sh \
	tests/test-mnbd-filter-mirror-on-error.sh \
	tests/test-mnbd-filter-mirror-primary.sh \
	tests/test-mnbd-filter-mirror-refused.sh \
	tests/test-mnbd-filter-mirror-stop.sh \
	tests/test-mnbd-filter-mirror-storm.sh \
	tests/test-mnbd-filter-mirror.sh \
	tests/test-mnbd-filter-over.sh \
	tests/test-mnbd-filter-pairs-names.sh \
	tests/test-mnbd-filter-pairs-over.sh \
	tests/test-mnbd-filter-shutdown-pairs.sh \
	tests/test-mnbd-filter-shutdown.sh \
	tests/test-mnbd-filter-thread-model.sh \
	tests/test-mnbd-filter-version.sh

EXTRA_DIST += $(filter_tests)
if !SANITIZER
TESTS += $(filter_tests)
endif
