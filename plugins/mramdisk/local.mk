# SPDX-License-Identifier: BSD-3-Clause
# The RAM disk plugin: what is between nbdkit and lib/ramdisk.

plugin_LTLIBRARIES += nbdkit-mramdisk-plugin.la
nbdkit_mramdisk_plugin_la_SOURCES = \
	plugins/mramdisk/buffers.c \
	plugins/mramdisk/buffers.h \
	plugins/mramdisk/events.c \
	plugins/mramdisk/events.h \
	plugins/mramdisk/json-origin.c \
	plugins/mramdisk/json-origin.h \
	plugins/mramdisk/loglimit.c \
	plugins/mramdisk/loglimit.h \
	plugins/mramdisk/method-parts.c \
	plugins/mramdisk/method-parts.h \
	plugins/mramdisk/methods-change.c \
	plugins/mramdisk/methods-clients.c \
	plugins/mramdisk/methods-inspect.c \
	plugins/mramdisk/methods-jobs.c \
	plugins/mramdisk/methods-stats.c \
	plugins/mramdisk/methods.c \
	plugins/mramdisk/methods.h \
	plugins/mramdisk/nbd-peer.c \
	plugins/mramdisk/nbd-peer.h \
	plugins/mramdisk/open-origin.c \
	plugins/mramdisk/open-origin.h \
	plugins/mramdisk/parameters.c \
	plugins/mramdisk/parameters.h \
	plugins/mramdisk/plugin-parts.h \
	plugins/mramdisk/plugin.c \
	plugins/mramdisk/remote.c \
	plugins/mramdisk/remote.h \
	plugins/mramdisk/requests.c \
	plugins/mramdisk/save-jobs.c \
	plugins/mramdisk/save-jobs.h \
	plugins/mramdisk/service.h \
	plugins/mramdisk/startup.c \
	plugins/mramdisk/transfer-jobs.c \
	plugins/mramdisk/transfer-jobs.h
nbdkit_mramdisk_plugin_la_CFLAGS = \
	$(AM_CFLAGS) $(NBDKIT_CFLAGS) $(URCU_CFLAGS) $(JANSSON_CFLAGS) \
	$(LIBNBD_CFLAGS)
nbdkit_mramdisk_plugin_la_LIBADD = libmblock-export-name.la \
	libmblock-ending.la libmblock-end-clients.la \
	libmblock-log.la libmblock-values.la \
	libmblock-control-socket.la libmblock-transfer.la \
	libmblock-save.la \
	libmblock-job.la libmblock-ramdisk.la \
	libmblock-rpc.la libmblock-nbd.la libmblock-bdev.la libmblock-base.la
# nodelete: threads run our destructors after nbdkit has unloaded the plugin.
nbdkit_mramdisk_plugin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/plugins/mramdisk/plugin.syms
EXTRA_nbdkit_mramdisk_plugin_la_DEPENDENCIES = plugins/mramdisk/plugin.syms
EXTRA_DIST += plugins/mramdisk/plugin.syms

TOP_LINKS += mramdisk.so
mramdisk.so: nbdkit-mramdisk-plugin.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mramdisk-plugin.so $@
