# SPDX-License-Identifier: BSD-3-Clause
# Glue to nbdkit that the plugins and the filter share.

# The export that a context of a plugin is opened for.
noinst_LTLIBRARIES += libmblock-export-name.la
libmblock_export_name_la_SOURCES = \
	plugins/common/export-name.c \
	plugins/common/export-name.h \
	plugins/common/modules.c \
	plugins/common/modules.h

# nbdkit's shutdown.
noinst_LTLIBRARIES += libmblock-ending.la
libmblock_ending_la_SOURCES = \
	plugins/common/nbdkit-ending.c \
	plugins/common/nbdkit-ending.h
libmblock_ending_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)

# The engines' log messages.
noinst_LTLIBRARIES += libmblock-log.la
libmblock_log_la_SOURCES = \
	plugins/common/log.c \
	plugins/common/log.h
libmblock_log_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)

# Values of parameters.
noinst_LTLIBRARIES += libmblock-values.la
libmblock_values_la_SOURCES = \
	plugins/common/values.c \
	plugins/common/values.h
libmblock_values_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)

# The control socket of the mramdisk plugin and the filter.
noinst_LTLIBRARIES += libmblock-control-socket.la
libmblock_control_socket_la_SOURCES = \
	plugins/common/control-socket.c \
	plugins/common/control-socket.h
libmblock_control_socket_la_CFLAGS = \
	$(AM_CFLAGS) $(NBDKIT_CFLAGS) $(JANSSON_CFLAGS)

# nbdkit's shutdown, and its clients' sockets.
noinst_LTLIBRARIES += libmblock-end-clients.la
libmblock_end_clients_la_SOURCES = \
	plugins/common/client-sockets.c \
	plugins/common/client-sockets.h \
	plugins/common/end-clients.c \
	plugins/common/end-clients.h \
	plugins/common/newer-nbdkit.h
libmblock_end_clients_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)

# The upstream server, for the mnbd plugin and the filter.
noinst_LTLIBRARIES += libmblock-upstream.la
libmblock_upstream_la_SOURCES = \
	plugins/common/exports.c \
	plugins/common/exports.h \
	plugins/common/serve.c \
	plugins/common/serve.h \
	plugins/common/upstream-parameters.c \
	plugins/common/upstream-parameters.h
libmblock_upstream_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS) $(LIBNBD_CFLAGS)
