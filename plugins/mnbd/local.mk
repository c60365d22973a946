# SPDX-License-Identifier: BSD-3-Clause
# The forwarder plugin: the glue between nbdkit and lib/nbd.

plugin_LTLIBRARIES += nbdkit-mnbd-plugin.la
nbdkit_mnbd_plugin_la_SOURCES = plugins/mnbd/plugin.c
nbdkit_mnbd_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS)
nbdkit_mnbd_plugin_la_LIBADD = libmblock-upstream.la \
	libmblock-export-name.la libmblock-ending.la libmblock-end-clients.la libmblock-log.la \
	libmblock-values.la \
	libmblock-nbd.la libmblock-bdev.la libmblock-base.la
nbdkit_mnbd_plugin_la_LDFLAGS = $(AM_LDFLAGS) \
	-module -avoid-version -shared -Wl,-z,nodelete \
	-Wl,--version-script=$(srcdir)/plugins/mnbd/plugin.syms
EXTRA_nbdkit_mnbd_plugin_la_DEPENDENCIES = plugins/mnbd/plugin.syms
EXTRA_DIST += plugins/mnbd/plugin.syms

TOP_LINKS += mnbd.so
mnbd.so: nbdkit-mnbd-plugin.la
	$(AM_V_GEN) rm -f $@ && $(LN_S) .libs/nbdkit-mnbd-plugin.so $@
