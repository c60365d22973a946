# SPDX-License-Identifier: BSD-3-Clause
# JSON-RPC over a Unix socket.  Link with libmblock-base.la.

noinst_LTLIBRARIES += libmblock-rpc.la
libmblock_rpc_la_SOURCES = \
	lib/rpc/buffer.c \
	lib/rpc/buffer.h \
	lib/rpc/clients.c \
	lib/rpc/clients.h \
	lib/rpc/control.h \
	lib/rpc/event-queue.c \
	lib/rpc/event-queue.h \
	lib/rpc/jsonrpc.c \
	lib/rpc/jsonrpc.h \
	lib/rpc/server.c \
	lib/rpc/server.h \
	lib/rpc/unix-socket.c \
	lib/rpc/unix-socket.h
libmblock_rpc_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libmblock_rpc_la_LIBADD = $(JANSSON_LIBS)
