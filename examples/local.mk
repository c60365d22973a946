# SPDX-License-Identifier: BSD-3-Clause
# Examples to run and to learn from.

EXTRA_DIST += \
	examples/sandbox \
	tests/test-example-sandbox.sh

# They load the plugin into nbdkit, which has no sanitizer.
if !SANITIZER
TESTS += tests/test-example-sandbox.sh
endif
