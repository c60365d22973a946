# SPDX-License-Identifier: BSD-3-Clause
# The engine of mramdisk.  Link with libmblock-base.la.

noinst_LTLIBRARIES += libmblock-ramdisk.la
libmblock_ramdisk_la_SOURCES = \
	lib/ramdisk/arena.c \
	lib/ramdisk/arena-file.c \
	lib/ramdisk/arena-file.h \
	lib/ramdisk/arena-layout.h \
	lib/ramdisk/arena-parts.h \
	lib/ramdisk/arena-space.c \
	lib/ramdisk/arena.h \
	lib/ramdisk/copy.h \
	lib/ramdisk/crash-point.h \
	lib/ramdisk/disk-clone.c \
	lib/ramdisk/disk-diff.c \
	lib/ramdisk/disk-pages.c \
	lib/ramdisk/disk-extents.c \
	lib/ramdisk/disk-parts.h \
	lib/ramdisk/disk-zero.c \
	lib/ramdisk/disk.c \
	lib/ramdisk/disk.h \
	lib/ramdisk/disk-over.c \
	lib/ramdisk/disk-origin.c \
	lib/ramdisk/disk-origin.h \
	lib/ramdisk/disk-origin-fetch.c \
	lib/ramdisk/disk-origin-map.c \
	lib/ramdisk/disk-origin-memory.c \
	lib/ramdisk/disk-origin-parts.h \
	lib/ramdisk/disk-origin-source.c \
	lib/ramdisk/stats.c \
	lib/ramdisk/stats.h \
	lib/ramdisk/memlimit.c \
	lib/ramdisk/memlimit.h \
	lib/ramdisk/node.h \
	lib/ramdisk/radix-find.c \
	lib/ramdisk/radix-op.c \
	lib/ramdisk/radix.c \
	lib/ramdisk/radix.h \
	lib/ramdisk/rcu.c \
	lib/ramdisk/rcu.h \
	lib/ramdisk/reclaim.c \
	lib/ramdisk/records.c \
	lib/ramdisk/records.h \
	lib/ramdisk/recover-origins.c \
	lib/ramdisk/recover-parts.h \
	lib/ramdisk/recover-records.c \
	lib/ramdisk/recover-space.c \
	lib/ramdisk/recover-trees.c \
	lib/ramdisk/recover.c \
	lib/ramdisk/recover.h \
	lib/ramdisk/registry-clients.c \
	lib/ramdisk/registry-list.c \
	lib/ramdisk/registry-names.c \
	lib/ramdisk/registry-parts.h \
	lib/ramdisk/registry-start.c \
	lib/ramdisk/registry-stats.c \
	lib/ramdisk/registry-tree.c \
	lib/ramdisk/registry-uuids.c \
	lib/ramdisk/registry.c \
	lib/ramdisk/registry.h
libmblock_ramdisk_la_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS)
libmblock_ramdisk_la_LIBADD = $(URCU_LIBS)
