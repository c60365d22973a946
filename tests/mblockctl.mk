# SPDX-License-Identifier: BSD-3-Clause
# Tests of mblockctl.

EXTRA_DIST += \
	tests/completion.sh \
	tests/fake-control.py \
	tests/mblockctl.sh \
	tests/mblockctl-terminal.py

mblockctl_tests = \
	tests/mblockctl/test-mblockctl-commands.sh \
	tests/mblockctl/test-mblockctl-completion-fish.sh \
	tests/mblockctl/test-mblockctl-completion-zsh.sh \
	tests/mblockctl/test-mblockctl-completion.sh \
	tests/mblockctl/test-mblockctl-create-from.sh \
	tests/mblockctl/test-mblockctl-deleted.sh \
	tests/mblockctl/test-mblockctl-errors.sh \
	tests/mblockctl/test-mblockctl-exporter.sh \
	tests/mblockctl/test-mblockctl-metrics.sh \
	tests/mblockctl/test-mblockctl-names.sh \
	tests/mblockctl/test-mblockctl-newcomer.sh \
	tests/mblockctl/test-mblockctl-origin.sh \
	tests/mblockctl/test-mblockctl-push.sh \
	tests/mblockctl/test-mblockctl-push-ending.sh \
	tests/mblockctl/test-mblockctl-server.sh \
	tests/mblockctl/test-mblockctl-terminal.sh \
	tests/mblockctl/test-mblockctl-totals.sh \
	tests/mblockctl/test-mblockctl-usage.sh \
	tests/mblockctl/test-mblockctl-watch.sh

EXTRA_DIST += $(mblockctl_tests)
TESTS += $(mblockctl_tests)
