# SPDX-License-Identifier: BSD-3-Clause
# The fuzzers.  They bring sanitizers of their own, and build what they fuzz.

fuzz_tests = \
	tests/fuzz/test-fuzz-engine.sh \
	tests/fuzz/test-fuzz-jsonrpc.sh \
	tests/fuzz/test-fuzz-parameters.sh \
	tests/fuzz/test-fuzz-recover.sh \
	tests/fuzz/test-fuzz-sizes.sh \
	tests/fuzz/test-fuzz-upstream.sh \
	tests/fuzz/test-fuzz-wire.sh

EXTRA_DIST += \
	$(fuzz_tests) \
	tests/fuzz/RESULTS.md \
	tests/fuzz/command-line.c \
	tests/fuzz/command-line.h \
	tests/fuzz/corpus-engine \
	tests/fuzz/corpus-jsonrpc \
	tests/fuzz/corpus-parameters \
	tests/fuzz/corpus-recover \
	tests/fuzz/corpus-sizes \
	tests/fuzz/corpus-upstream \
	tests/fuzz/corpus-wire \
	tests/fuzz/fuzz-engine.c \
	tests/fuzz/fuzz-jsonrpc.c \
	tests/fuzz/fuzz-parameters.c \
	tests/fuzz/fuzz-recover.c \
	tests/fuzz/fuzz-sizes.c \
	tests/fuzz/fuzz-upstream.c \
	tests/fuzz/fuzz-wire.c \
	tests/fuzz/jsonrpc.dict \
	tests/fuzz/make-corpus-engine.py \
	tests/fuzz/make-corpus-recover.py \
	tests/fuzz/make-corpus-wire.py \
	tests/fuzz/parameters.dict \
	tests/fuzz/run-fuzz.sh \
	tests/fuzz/upstream.dict \
	tests/fuzz/wire.dict
TESTS += $(fuzz_tests)

fuzzers = fuzz-engine fuzz-jsonrpc fuzz-parameters fuzz-recover fuzz-sizes \
	fuzz-upstream fuzz-wire

.PHONY: fuzz $(fuzzers)
fuzz: $(fuzzers)
$(fuzzers):
	abs_top_builddir='$(abs_top_builddir)' \
	  $(SHELL) $(srcdir)/tests/fuzz/run-fuzz.sh $(@:fuzz-%=%)

clean-local: clean-fuzz
.PHONY: clean-fuzz
clean-fuzz:
	rm -rf fuzz
