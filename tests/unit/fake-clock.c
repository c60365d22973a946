/* SPDX-License-Identifier: BSD-3-Clause */
/* A clock that a test sets forward. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "fake-clock.h"

static _Atomic int64_t skipped;

/* How long a thread may not notice that the clock was set. */
#define NOTICE (10 * NS_PER_MS)

extern int __real_clock_gettime (clockid_t id, struct timespec *ts);
extern int __wrap_clock_gettime (clockid_t id, struct timespec *ts);
extern int __real_pthread_cond_timedwait (pthread_cond_t *cond,
                                          pthread_mutex_t *mutex,
                                          const struct timespec *until);
extern int __wrap_pthread_cond_timedwait (pthread_cond_t *cond,
                                          pthread_mutex_t *mutex,
                                          const struct timespec *until);

static int64_t
ns_of (const struct timespec *ts)
{
  return ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

int
__wrap_clock_gettime (clockid_t id, struct timespec *ts)
{
  int r = __real_clock_gettime (id, ts);

  if (r == 0 && id == CLOCK_MONOTONIC)
    *ts = clock_timespec (ns_of (ts) + atomic_load (&skipped));
  return r;
}

/* cond.h: its clock is CLOCK_MONOTONIC, and a wait may end for no reason. */
int
__wrap_pthread_cond_timedwait (pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *until)
{
  int64_t left = ns_of (until) - clock_now ();
  struct timespec now;
  int r;

  if (left <= 0)
    return ETIMEDOUT;
  __real_clock_gettime (CLOCK_MONOTONIC, &now);
  now = clock_timespec (ns_of (&now) + (left < NOTICE ? left : NOTICE));
  r = __real_pthread_cond_timedwait (cond, mutex, &now);
  return r == ETIMEDOUT && left > NOTICE ? 0 : r;
}

void
clock_skip (int64_t ns)
{
  atomic_fetch_add (&skipped, ns);
}
