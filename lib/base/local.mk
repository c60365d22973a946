# SPDX-License-Identifier: BSD-3-Clause
# What more than one part of the project uses.

noinst_HEADERS += \
	common/cleanup.h \
	common/copy-stream.h \
	common/mutex.h

noinst_LTLIBRARIES += libmblock-common.la
libmblock_common_la_SOURCES = \
	common/control.c \
	common/control.h \
	common/jsonrpc.c \
	common/jsonrpc.h \
	common/printable.c \
	common/printable.h \
	common/export-name.c \
	common/export-name.h \
	common/boolean.c \
	common/boolean.h \
	common/message.c \
	common/message.h \
	common/size.c \
	common/size.h \
	common/unix-socket.c \
	common/unix-socket.h
libmblock_common_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libmblock_common_la_LIBADD = $(JANSSON_LIBS)
