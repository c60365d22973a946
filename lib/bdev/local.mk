# SPDX-License-Identifier: BSD-3-Clause
# The block-device interface, and what its users share.

noinst_LTLIBRARIES += libmblock-bdev.la
libmblock_bdev_la_SOURCES = \
	lib/bdev/bdev.h \
	lib/bdev/bitmap.c \
	lib/bdev/bitmap.h \
	lib/bdev/cuts.h \
	lib/bdev/engine.h \
	lib/bdev/extents.c \
	lib/bdev/extents.h \
	lib/bdev/ranges.c \
	lib/bdev/ranges.h
