# SPDX-License-Identifier: BSD-3-Clause
# The filter: engines that know nothing of nbdkit, and the filter itself.

noinst_LTLIBRARIES += libmnbd-filter-engine.la
libmnbd_filter_engine_la_SOURCES = \
	filters/mnbd/ranges.c \
	filters/mnbd/ranges.h
libmnbd_filter_engine_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(top_srcdir)/plugins/mnbd -I$(top_srcdir)/filters/mnbd
