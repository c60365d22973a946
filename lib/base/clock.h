/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotonic time, in nanoseconds. */

#ifndef MNBD_CLOCK_H
#define MNBD_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C (1000000000)
#define NS_PER_US INT64_C (1000)
#define NS_PER_MS INT64_C (1000000)

/* A time that never comes. */
#define NEVER INT64_MAX

static inline int64_t
clock_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* The same in milliseconds. */
static inline uint64_t
clock_now_ms (void)
{
  return clock_now () / NS_PER_MS;
}

static inline struct timespec
clock_timespec (int64_t t)
{
  return (struct timespec) { .tv_sec = t / NS_PER_S, .tv_nsec = t % NS_PER_S };
}

/* The timeout that makes poll(2) wait until a given time: milliseconds, rounded
 * up; -1 for ever.
 */
static inline int
clock_poll_timeout (int64_t until)
{
  int64_t left;

  if (until == NEVER)
    return -1;
  left = until - clock_now ();
  if (left <= 0)
    return 0;
  left = (left + NS_PER_MS - 1) / NS_PER_MS;
  return left > 3600000 ? 3600000 : (int) left;
}

#endif /* MNBD_CLOCK_H */
