# SPDX-License-Identifier: BSD-3-Clause
# The fuzzers.  They bring sanitizers of their own, and build what they fuzz.

fuzz_tests = \
	tests/fuzz/test-fuzz-jsonrpc.sh \
	tests/fuzz/test-fuzz-recover.sh \
	tests/fuzz/test-fuzz-wire.sh

EXTRA_DIST += \
	$(fuzz_tests) \
	tests/fuzz/corpus-jsonrpc \
	tests/fuzz/corpus-recover \
	tests/fuzz/corpus-wire \
	tests/fuzz/fuzz-jsonrpc.c \
	tests/fuzz/fuzz-recover.c \
	tests/fuzz/fuzz-wire.c \
	tests/fuzz/jsonrpc.dict \
	tests/fuzz/make-corpus-recover.py \
	tests/fuzz/make-corpus-wire.py \
	tests/fuzz/run-fuzz.sh \
	tests/fuzz/wire.dict
TESTS += $(fuzz_tests)

.PHONY: fuzz fuzz-jsonrpc fuzz-recover fuzz-wire
fuzz: fuzz-jsonrpc fuzz-recover fuzz-wire
fuzz-jsonrpc fuzz-recover fuzz-wire:
	abs_top_builddir='$(abs_top_builddir)' \
	  $(SHELL) $(srcdir)/tests/fuzz/run-fuzz.sh $(@:fuzz-%=%)

clean-local: clean-fuzz
.PHONY: clean-fuzz
clean-fuzz:
	rm -rf fuzz
