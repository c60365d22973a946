# SPDX-License-Identifier: BSD-3-Clause
# The command-line tool.

bin_PROGRAMS += mblockctl
mblockctl_SOURCES = \
	tools/client.c \
	tools/client.h \
	tools/disks.c \
	tools/histogram.c \
	tools/histogram.h \
	tools/map.c \
	tools/mblockctl.c \
	tools/mblockctl.h \
	tools/metrics.c \
	tools/progress.c \
	tools/progress.h \
	tools/rpc.c \
	tools/rpc.h \
	tools/server.c \
	tools/show.c \
	tools/stats.c \
	tools/stats.h \
	tools/table.c \
	tools/table.h \
	tools/terminal.c \
	tools/terminal.h \
	tools/text.c \
	tools/text.h \
	tools/top.c \
	tools/watch.c
mblockctl_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tools
mblockctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
mblockctl_LDADD = libmblock-common.la $(JANSSON_LIBS)
