/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits the lines per second in the log and counts the others, so that clients
 * cannot fill the disk with deliberately failing requests.
 *
 * Thread-safe; takes no lock.  All zeros is ready for use.  Each line that was
 * not allowed is reported exactly once, by one of the functions.
 */

#ifndef MRAMDISK_LOGLIMIT_H
#define MRAMDISK_LOGLIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Lines per second; and additional lines that only say how many are missing. */
#define LOG_LIMIT_LINES 5
#define LOG_LIMIT_SUMMARIES 1

struct log_limit {
  _Atomic uint64_t now;         /* the second, and above it what it had */
  _Atomic uint64_t missed;      /* lines that were not allowed */
};

/* Whether a line may be logged.  *missed: how many were not, to be logged
 * before it.
 */
bool log_limit_line (struct log_limit *l, uint64_t *missed);

/* How many lines were not logged, if that may be logged now; else 0. */
uint64_t log_limit_flush (struct log_limit *l);

/* The same at the end, when that may always be logged. */
uint64_t log_limit_end (struct log_limit *l);

#endif /* MRAMDISK_LOGLIMIT_H */
