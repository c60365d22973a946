# SPDX-License-Identifier: BSD-3-Clause
# The benchmarks.  "make" builds them; README.md says how to run them.

noinst_PROGRAMS += bench/engine-bench

bench_common = \
	bench/peer.c \
	bench/peer.h \
	bench/report.c \
	bench/report.h

# Plugins find the functions that nbdkit has for them in the program.
bench_engine_bench_SOURCES = \
	$(bench_common) \
	bench/engine-bench.c \
	bench/engine-clone.c \
	bench/engine-clone.h \
	bench/host.c \
	bench/host.h
bench_engine_bench_CPPFLAGS = \
	$(libmramdisk_engine_la_CPPFLAGS) \
	-DNBDKIT_PLUGINDIR='"$(NBDKIT_PLUGINDIR_SYSTEM)"' \
	-DRESULTS_DIR='"$(abs_top_srcdir)/bench/results"'
bench_engine_bench_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(URCU_CFLAGS)
bench_engine_bench_LDADD = libmramdisk-engine.la libmblock-common.la
bench_engine_bench_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
