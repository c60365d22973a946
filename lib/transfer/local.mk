# SPDX-License-Identifier: BSD-3-Clause
# Moves disks in and out.  Link with libmblock-ramdisk.la,
# libmblock-job.la, libmblock-bdev.la and libmblock-base.la.

noinst_LTLIBRARIES += libmblock-transfer.la
libmblock_transfer_la_SOURCES = \
	lib/transfer/pass.c \
	lib/transfer/pass.h \
	lib/transfer/pull.c \
	lib/transfer/pull.h \
	lib/transfer/push.c \
	lib/transfer/push.h \
	lib/transfer/unfinished.c \
	lib/transfer/unfinished.h
libmblock_transfer_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS)
