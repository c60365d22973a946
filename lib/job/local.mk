# SPDX-License-Identifier: BSD-3-Clause
# Jobs.  Link with libmblock-base.la.

noinst_LTLIBRARIES += libmblock-job.la
libmblock_job_la_SOURCES = \
	lib/job/jobs.c \
	lib/job/jobs.h
