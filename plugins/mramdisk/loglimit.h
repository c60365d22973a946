/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits how many lines a second go to the log, and counts the others, so that
 * who makes requests fail on purpose fills no disk with it.
 *
 * Thread-safe; takes no lock.  Zeroed is ready for use.  Each line that was not
 * allowed is returned exactly once, by one of the functions.
 */

#ifndef MRAMDISK_LOGLIMIT_H
#define MRAMDISK_LOGLIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Lines in a second, and lines more that only say how many are missing. */
#define LOG_LIMIT_LINES 5
#define LOG_LIMIT_SUMMARIES 1

struct log_limit {
  _Atomic uint64_t now;         /* the second, and above it what it had */
  _Atomic uint64_t missed;      /* lines that were not allowed */
};

/* May a line be logged?  *missed: how many were not, to be said before it. */
bool log_limit_line (struct log_limit *l, uint64_t *missed);

/* How many lines were not logged, if that may be said now, else 0. */
uint64_t log_limit_flush (struct log_limit *l);

/* The same at the end, when it may always be said. */
uint64_t log_limit_end (struct log_limit *l);

#endif /* MRAMDISK_LOGLIMIT_H */
