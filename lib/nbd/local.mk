# SPDX-License-Identifier: BSD-3-Clause
# The NBD client: connections, and the pool that carries an export through
# outages.  Link with libmblock-bdev.la and libmblock-base.la.

noinst_LTLIBRARIES += libmblock-nbd.la
libmblock_nbd_la_SOURCES = \
	lib/nbd/bdev-nbd.c \
	lib/nbd/bdev-nbd.h \
	lib/nbd/block-size.c \
	lib/nbd/block-size.h \
	lib/nbd/connect.c \
	lib/nbd/connection-private.h \
	lib/nbd/connection.c \
	lib/nbd/connection.h \
	lib/nbd/cover.c \
	lib/nbd/cover.h \
	lib/nbd/debts.c \
	lib/nbd/debts.h \
	lib/nbd/leader-followers.c \
	lib/nbd/leader-followers.h \
	lib/nbd/ending.h \
	lib/nbd/self-connect.c \
	lib/nbd/self-connect.h \
	lib/nbd/transport-tls.c \
	lib/nbd/transport-plain.c \
	lib/nbd/pool-private.h \
	lib/nbd/pool-replay.c \
	lib/nbd/pool-report.c \
	lib/nbd/pool-request.c \
	lib/nbd/pool-witness.c \
	lib/nbd/pool-write.c \
	lib/nbd/newer-libnbd.h \
	lib/nbd/pool.c \
	lib/nbd/pool.h \
	lib/nbd/reconnect.c \
	lib/nbd/replay.c \
	lib/nbd/replay.h \
	lib/nbd/uri.c \
	lib/nbd/uri.h \
	lib/nbd/watchdog.c \
	lib/nbd/watchdog.h \
	lib/nbd/witness.c \
	lib/nbd/witness.h \
	lib/nbd/wire.c \
	lib/nbd/wire.h
libmblock_nbd_la_CFLAGS = $(AM_CFLAGS) $(LIBNBD_CFLAGS)
libmblock_nbd_la_LIBADD = $(LIBNBD_LIBS)
