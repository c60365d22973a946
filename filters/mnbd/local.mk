# SPDX-License-Identifier: BSD-3-Clause
# The filter: the glue between nbdkit and lib/mirror, lib/cache and lib/nbd.

filter_LTLIBRARIES += nbdkit-mnbd-filter.la
nbdkit_mnbd_filter_la_SOURCES = \
	filters/mnbd/cache-engine.c \
	filters/mnbd/cache-engine.h \
	filters/mnbd/engines.h \
	filters/mnbd/filter-parameters.c \
	filters/mnbd/filter-parameters.h \
	filters/mnbd/filter.c \
	filters/mnbd/filter-methods.c \
	filters/mnbd/filter-methods.h \
	filters/mnbd/mirror-engine.c \
	filters/mnbd/mirror-methods.c \
	filters/mnbd/mirror-methods.h \
	filters/mnbd/instances.c \
	filters/mnbd/instances.h \
	filters/mnbd/bdev-next.c \
	filters/mnbd/bdev-next.h
nbdkit_mnbd_filter_la_CFLAGS = \
	$(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS) $(JANSSON_CFLAGS)
nbdkit_mnbd_filter_la_LIBADD = libmblock-upstream.la \
	libmblock-export-name.la libmblock-ending.la libmblock-end-clients.la libmblock-log.la \
	libmblock-values.la libmblock-control-socket.la \
	libmblock-mirror.la libmblock-cache.la \
	libmblock-bdev.la libmblock-nbd.la libmblock-rpc.la libmblock-base.la
# nodelete: threads run our destructors after nbdkit has unloaded the filter.
nbdkit_mnbd_filter_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/filters/mnbd/filter.syms
EXTRA_nbdkit_mnbd_filter_la_DEPENDENCIES = filters/mnbd/filter.syms
EXTRA_DIST += filters/mnbd/filter.syms

TOP_LINKS += mnbd-filter.so
mnbd-filter.so: nbdkit-mnbd-filter.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mnbd-filter.so $@
