# SPDX-License-Identifier: BSD-3-Clause
# Models of what tests can only sample, for SPIN: "make check-models" searches
# all of their states, within the bounds that each names.

models = \
	tests/models/arena.pml \
	tests/models/clone.pml \
	tests/models/flush.pml \
	tests/models/leader.pml \
	tests/models/mirror.pml \
	tests/models/pool.pml \
	tests/models/writeback.pml

EXTRA_DIST += $(models) tests/models/check-model

.PHONY: check-models
check-models:
	CC='$(CC)' $(srcdir)/tests/models/check-model -v \
	  $(addprefix $(srcdir)/,$(models))
