# SPDX-License-Identifier: BSD-3-Clause
# Saves disks in a folder and loads them.  Link with libmblock-ramdisk.la,
# libmblock-job.la and libmblock-base.la.

noinst_LTLIBRARIES += libmblock-save.la
libmblock_save_la_SOURCES = \
	lib/save/kept.c \
	lib/save/kept.h \
	lib/save/load.c \
	lib/save/load.h \
	lib/save/save-pages.c \
	lib/save/save-parts.h \
	lib/save/save.c \
	lib/save/save.h \
	lib/save/saved.c \
	lib/save/saved.h
libmblock_save_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS) $(JANSSON_CFLAGS)
libmblock_save_la_LIBADD = $(JANSSON_LIBS)
