# SPDX-License-Identifier: BSD-3-Clause
# The filter: engines that know nothing of nbdkit, and what is between them and
# nbdkit.

noinst_LTLIBRARIES += libmnbd-filter-engine.la
libmnbd_filter_engine_la_SOURCES = \
	filters/mnbd/bitmap.c \
	filters/mnbd/bitmap.h \
	filters/mnbd/cache-io.c \
	filters/mnbd/cache-private.h \
	filters/mnbd/cache-read.c \
	filters/mnbd/cache-table.c \
	filters/mnbd/cache-workers.c \
	filters/mnbd/cache-write.c \
	filters/mnbd/cache-writeback.c \
	filters/mnbd/cache.c \
	filters/mnbd/cache.h \
	filters/mnbd/engine.h \
	filters/mnbd/mirror-control.c \
	filters/mnbd/mirror-copy.c \
	filters/mnbd/mirror-job.c \
	filters/mnbd/mirror-private.h \
	filters/mnbd/mirror-verify.c \
	filters/mnbd/mirror.c \
	filters/mnbd/mirror.h \
	filters/mnbd/ranges.c \
	filters/mnbd/ranges.h \
	filters/mnbd/side.h
libmnbd_filter_engine_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(top_srcdir)/plugins/mnbd -I$(top_srcdir)/filters/mnbd

filter_LTLIBRARIES += nbdkit-mnbd-filter.la
nbdkit_mnbd_filter_la_SOURCES = \
	filters/mnbd/cache-engine.c \
	filters/mnbd/cache-engine.h \
	filters/mnbd/filter-parameters.c \
	filters/mnbd/filter-parameters.h \
	filters/mnbd/filter.c \
	filters/mnbd/methods.c \
	filters/mnbd/methods.h \
	filters/mnbd/mirror-engine.c \
	filters/mnbd/mirror-methods.c \
	filters/mnbd/mirror-methods.h \
	filters/mnbd/pairs.c \
	filters/mnbd/pairs.h \
	filters/mnbd/side-local.c \
	filters/mnbd/side-local.h \
	filters/mnbd/side-upstream.c \
	filters/mnbd/side-upstream.h
nbdkit_mnbd_filter_la_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS) \
	-I$(top_srcdir)/filters/mnbd
nbdkit_mnbd_filter_la_CFLAGS = \
	$(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS) $(JANSSON_CFLAGS)
nbdkit_mnbd_filter_la_LIBADD = libmnbd-filter-engine.la libmnbd-glue.la
# nodelete: threads run our destructors after nbdkit has unloaded the filter.
nbdkit_mnbd_filter_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/filters/mnbd/filter.syms
EXTRA_nbdkit_mnbd_filter_la_DEPENDENCIES = filters/mnbd/filter.syms
EXTRA_DIST += filters/mnbd/filter.syms

TOP_LINKS += mnbd-filter.so
mnbd-filter.so: nbdkit-mnbd-filter.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mnbd-filter.so $@
