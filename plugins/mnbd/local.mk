# SPDX-License-Identifier: BSD-3-Clause
# The forwarder: an engine that knows nothing of nbdkit, and the plugin.

noinst_LTLIBRARIES += libmnbd-engine.la
libmnbd_engine_la_SOURCES = \
	plugins/mnbd/clock.h \
	plugins/mnbd/connect.c \
	plugins/mnbd/crew.c \
	plugins/mnbd/crew.h \
	plugins/mnbd/loop.c \
	plugins/mnbd/loop.h \
	plugins/mnbd/over-libnbd.c \
	plugins/mnbd/over-socket.c \
	plugins/mnbd/pool-private.h \
	plugins/mnbd/pool.c \
	plugins/mnbd/pool.h \
	plugins/mnbd/reconnect.c \
	plugins/mnbd/replay.c \
	plugins/mnbd/replay.h \
	plugins/mnbd/upstream-private.h \
	plugins/mnbd/upstream.c \
	plugins/mnbd/upstream.h \
	plugins/mnbd/wire.c \
	plugins/mnbd/wire.h
libmnbd_engine_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/plugins/mnbd
libmnbd_engine_la_CFLAGS = $(AM_CFLAGS) $(LIBNBD_CFLAGS)
libmnbd_engine_la_LIBADD = libmblock-common.la $(LIBNBD_LIBS)

# What the plugin and the filter (filters/mnbd) use, with nbdkit.
noinst_LTLIBRARIES += libmnbd-glue.la
libmnbd_glue_la_SOURCES = \
	plugins/mnbd/exports.c \
	plugins/mnbd/exports.h \
	plugins/mnbd/parameters.c \
	plugins/mnbd/parameters.h
libmnbd_glue_la_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS)
libmnbd_glue_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS)
libmnbd_glue_la_LIBADD = libmnbd-engine.la

plugin_LTLIBRARIES += nbdkit-mnbd-plugin.la
nbdkit_mnbd_plugin_la_SOURCES = plugins/mnbd/plugin.c
nbdkit_mnbd_plugin_la_CPPFLAGS = $(libmnbd_engine_la_CPPFLAGS)
nbdkit_mnbd_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS)
nbdkit_mnbd_plugin_la_LIBADD = libmnbd-glue.la
nbdkit_mnbd_plugin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/plugins/mnbd/plugin.syms
EXTRA_nbdkit_mnbd_plugin_la_DEPENDENCIES = plugins/mnbd/plugin.syms
EXTRA_DIST += plugins/mnbd/plugin.syms

TOP_LINKS += mnbd.so
mnbd.so: nbdkit-mnbd-plugin.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mnbd-plugin.so $@
