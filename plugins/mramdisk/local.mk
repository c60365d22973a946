# SPDX-License-Identifier: BSD-3-Clause
# The RAM disk: an engine that knows nothing of nbdkit, and the plugin.

noinst_LTLIBRARIES += libmramdisk-engine.la
libmramdisk_engine_la_SOURCES = \
	plugins/mramdisk/arena.c \
	plugins/mramdisk/arena.h \
	plugins/mramdisk/copy.h \
	plugins/mramdisk/disk.c \
	plugins/mramdisk/disk.h \
	plugins/mramdisk/figures.c \
	plugins/mramdisk/figures.h \
	plugins/mramdisk/memlimit.c \
	plugins/mramdisk/memlimit.h \
	plugins/mramdisk/node.h \
	plugins/mramdisk/radix.c \
	plugins/mramdisk/radix.h \
	plugins/mramdisk/rcu.c \
	plugins/mramdisk/rcu.h \
	plugins/mramdisk/registry.c \
	plugins/mramdisk/registry.h \
	plugins/mramdisk/thread-local.h
libmramdisk_engine_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/plugins/mramdisk
libmramdisk_engine_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS) $(JANSSON_CFLAGS)
libmramdisk_engine_la_LIBADD = $(URCU_LIBS) $(JANSSON_LIBS)

plugin_LTLIBRARIES += nbdkit-mramdisk-plugin.la
nbdkit_mramdisk_plugin_la_SOURCES = \
	plugins/mramdisk/events.c \
	plugins/mramdisk/events.h \
	plugins/mramdisk/loglimit.c \
	plugins/mramdisk/loglimit.h \
	plugins/mramdisk/methods.c \
	plugins/mramdisk/methods.h \
	plugins/mramdisk/parameters.c \
	plugins/mramdisk/parameters.h \
	plugins/mramdisk/plugin.c
nbdkit_mramdisk_plugin_la_CPPFLAGS = $(libmramdisk_engine_la_CPPFLAGS)
nbdkit_mramdisk_plugin_la_CFLAGS = \
	$(AM_CFLAGS) $(NBDKIT_CFLAGS) $(URCU_CFLAGS) $(JANSSON_CFLAGS)
nbdkit_mramdisk_plugin_la_LIBADD = libmramdisk-engine.la libmblock-common.la
# nodelete: threads run our destructors after nbdkit has unloaded the plugin.
nbdkit_mramdisk_plugin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/plugins/mramdisk/plugin.syms
EXTRA_nbdkit_mramdisk_plugin_la_DEPENDENCIES = plugins/mramdisk/plugin.syms
EXTRA_DIST += plugins/mramdisk/plugin.syms

TOP_LINKS += mramdisk.so
mramdisk.so: nbdkit-mramdisk-plugin.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mramdisk-plugin.so $@
