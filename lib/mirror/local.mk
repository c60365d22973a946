# SPDX-License-Identifier: BSD-3-Clause
# The mirror engine.  Link with libmblock-bdev.la and libmblock-base.la.

noinst_LTLIBRARIES += libmblock-mirror.la
libmblock_mirror_la_SOURCES = \
	lib/mirror/compare.c \
	lib/mirror/control.c \
	lib/mirror/copy.c \
	lib/mirror/job.c \
	lib/mirror/mirror-private.h \
	lib/mirror/mirror.c \
	lib/mirror/mirror.h \
	lib/mirror/stall.c \
	lib/mirror/switch.c \
	lib/mirror/verify.c
