# SPDX-License-Identifier: BSD-3-Clause
# The cache engine.  Link with libmblock-bdev.la and libmblock-base.la.

noinst_LTLIBRARIES += libmblock-cache.la
libmblock_cache_la_SOURCES = \
	lib/cache/cache-private.h \
	lib/cache/cache.c \
	lib/cache/cache.h \
	lib/cache/io.c \
	lib/cache/read.c \
	lib/cache/table.c \
	lib/cache/workers.c \
	lib/cache/write.c \
	lib/cache/writeback.c
