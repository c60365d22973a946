/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits the lines per second in the log. */

#include <config.h>

#include <time.h>

#include "loglimit.h"

/* log_limit.now: the second below, the number of its lines above. */
#define LINES_SHIFT 56
#define SECOND_MASK ((UINT64_C (1) << LINES_SHIFT) - 1)

/* Take one of the lines of this second.  *first: it is the first one. */
static bool
take (struct log_limit *l, uint64_t lines, bool *first)
{
  uint64_t old = atomic_load_explicit (&l->now, memory_order_relaxed), new;
  struct timespec t;
  uint64_t second;

  clock_gettime (CLOCK_MONOTONIC_COARSE, &t);
  second = ((uint64_t) t.tv_sec + 1) & SECOND_MASK; /* 0: none yet */
  do {
    *first = (old & SECOND_MASK) < second;
    if (*first)
      new = second | UINT64_C (1) << LINES_SHIFT;
    else if (old >> LINES_SHIFT < lines)
      new = old + (UINT64_C (1) << LINES_SHIFT);
    else
      return false;
  } while (!atomic_compare_exchange_weak_explicit (&l->now, &old, new,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed));
  return true;
}

bool
log_limit_line (struct log_limit *l, uint64_t *missed)
{
  bool first;

  *missed = 0;
  if (!take (l, LOG_LIMIT_LINES, &first)) {
    atomic_fetch_add_explicit (&l->missed, 1, memory_order_relaxed);
    return false;
  }
  if (first)
    *missed = log_limit_end (l);
  return true;
}

uint64_t
log_limit_flush (struct log_limit *l)
{
  bool first;

  if (atomic_load_explicit (&l->missed, memory_order_relaxed) == 0 ||
      !take (l, LOG_LIMIT_LINES + LOG_LIMIT_SUMMARIES, &first))
    return 0;
  return log_limit_end (l);
}

uint64_t
log_limit_end (struct log_limit *l)
{
  return atomic_exchange_explicit (&l->missed, 0, memory_order_relaxed);
}
