# SPDX-License-Identifier: BSD-3-Clause
# What every part uses: text, sizes, time, locks, copies.  Needs only libc.

noinst_LTLIBRARIES += libmblock-base.la
libmblock_base_la_SOURCES = \
	lib/base/boolean.c \
	lib/base/boolean.h \
	lib/base/cleanup.h \
	lib/base/clock.h \
	lib/base/cond.h \
	lib/base/copy-stream.h \
	lib/base/descriptors.c \
	lib/base/descriptors.h \
	lib/base/list.h \
	lib/base/message.c \
	lib/base/message.h \
	lib/base/mutex.h \
	lib/base/pattern.c \
	lib/base/pattern.h \
	lib/base/printable.c \
	lib/base/printable.h \
	lib/base/size.c \
	lib/base/size.h \
	lib/base/thread-local.h \
	lib/base/thread.c \
	lib/base/thread.h \
	lib/base/utf8.c \
	lib/base/utf8.h \
	lib/base/uuid.c \
	lib/base/uuid.h
