# SPDX-License-Identifier: BSD-3-Clause
# The benchmarks.  "make" builds them; README.md says how to run them.

noinst_PROGRAMS += \
	bench/arena-bench \
	bench/clone-bench \
	bench/engine-bench \
	bench/rcu-bench \
	bench/scale-bench \
	bench/touch-bench

# Options, a process of its own for each measurement, and the report.
bench_common = \
	bench/peer.c \
	bench/peer.h \
	bench/program.c \
	bench/program.h \
	bench/report.c \
	bench/report.h \
	bench/host.c \
	bench/host.h
bench_cppflags = \
	$(AM_CPPFLAGS) \
	-DNBDKIT_PLUGINDIR='"$(NBDKIT_PLUGINDIR_SYSTEM)"' \
	-DRESULTS_DIR='"$(abs_top_srcdir)/bench/results"'
bench_cflags = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(URCU_CFLAGS)

# Plugins find the functions that nbdkit has for them in the program.
bench_engine_bench_SOURCES = \
	$(bench_common) \
	bench/engine-bench.c \
	bench/engine-clone.c \
	bench/engine-clone.h \
	bench/engine-same.c \
	bench/engine-same.h
bench_engine_bench_CPPFLAGS = $(bench_cppflags)
bench_engine_bench_CFLAGS = $(bench_cflags)
bench_engine_bench_LDADD = libmblock-ramdisk.la libmblock-base.la
bench_engine_bench_LDFLAGS = $(AM_LDFLAGS) -export-dynamic

bench_clone_bench_SOURCES = $(bench_common) bench/clone-bench.c
bench_clone_bench_CPPFLAGS = $(bench_cppflags)
bench_clone_bench_CFLAGS = $(bench_cflags)
bench_clone_bench_LDADD = libmblock-ramdisk.la libmblock-base.la

bench_arena_bench_SOURCES = $(bench_common) bench/arena-bench.c
bench_arena_bench_CPPFLAGS = $(bench_cppflags)
bench_arena_bench_CFLAGS = $(bench_cflags)
bench_arena_bench_LDADD = libmblock-ramdisk.la libmblock-base.la

bench_scale_bench_SOURCES = $(bench_common) bench/scale-bench.c
bench_scale_bench_CPPFLAGS = $(bench_cppflags)
bench_scale_bench_CFLAGS = $(bench_cflags)
bench_scale_bench_LDADD = libmblock-ramdisk.la libmblock-base.la

# Both flavours, whichever the engine has.
bench_rcu_bench_SOURCES = $(bench_common) bench/rcu-bench.c
bench_rcu_bench_CPPFLAGS = $(bench_cppflags)
bench_rcu_bench_CFLAGS = $(bench_cflags)
bench_rcu_bench_LDADD = libmblock-base.la $(URCU_LIBS) -lurcu-bp

bench_touch_bench_SOURCES = $(bench_common) bench/touch-bench.c
bench_touch_bench_CPPFLAGS = $(bench_cppflags)
bench_touch_bench_CFLAGS = $(bench_cflags)
bench_touch_bench_LDADD = libmblock-base.la

# Sanitizers are for the engine's own tests; here the plugin would come with
# one into a program that has its peers without.
if !SANITIZER
TESTS += \
	bench/test-arena-bench.sh \
	bench/test-clone-bench.sh \
	bench/test-control-bench.sh \
	bench/test-engine-bench.sh \
	bench/test-filter-bench.sh \
	bench/test-mnbd-bench.sh \
	bench/test-origin-bench.sh \
	bench/test-push-bench.sh \
	bench/test-restart-bench.sh \
	bench/test-run.sh \
	bench/test-scale-bench.sh \
	bench/test-server-bench.sh \
	bench/test-size-bench.sh
endif

EXTRA_DIST += \
	bench/README.md \
	bench/benchlib.py \
	bench/control-bench \
	bench/filter-bench \
	bench/mnbd-bench \
	bench/origin-bench \
	bench/plots.py \
	bench/push-bench \
	bench/restart-bench \
	bench/run \
	bench/server-bench \
	bench/size-bench \
	bench/test-arena-bench.sh \
	bench/test-clone-bench.sh \
	bench/test-control-bench.sh \
	bench/test-engine-bench.sh \
	bench/test-filter-bench.sh \
	bench/test-functions.sh \
	bench/test-mnbd-bench.sh \
	bench/test-origin-bench.sh \
	bench/test-push-bench.sh \
	bench/test-restart-bench.sh \
	bench/test-run.sh \
	bench/test-scale-bench.sh \
	bench/test-server-bench.sh \
	bench/test-size-bench.sh

# Reports of runs; REPORT.md and plots/ are bench/run's.
EXTRA_DIST += \
	bench/REPORT.md \
	bench/plots \
	bench/results/2026-11-22-clone.txt \
	bench/results/2026-11-22-control.txt \
	bench/results/2026-11-22-engine.txt \
	bench/results/2026-11-22-mnbd.txt \
	bench/results/2026-11-22-server-empty.txt \
	bench/results/2026-11-22-server.txt \
	bench/results/2026-11-23-mnbd.txt \
	bench/results/2026-11-29-arena.txt \
	bench/results/2026-11-29-before-after.txt \
	bench/results/2026-11-29-kill.txt \
	bench/results/2026-11-30-boot-guests.txt \
	bench/results/2026-11-30-filter-switch.txt \
	bench/results/2026-11-30-filter.txt \
	bench/results/2026-11-30-mnbd.txt \
	bench/results/2026-11-30-origin.txt \
	bench/results/2026-11-30-origin-boot.txt \
	bench/results/2026-11-30-origin-sequential.txt \
	bench/results/2026-11-30-push.txt \
	bench/results/2026-11-30-systemd.txt
