/* SPDX-License-Identifier: BSD-3-Clause */
/* A condition variable whose time is clock.h's, so that setting the date does
 * not make a thread wait for longer.
 */

#ifndef MBLOCK_COND_H
#define MBLOCK_COND_H

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mutex.h"

/* To be destroyed with pthread_cond_destroy. */
static inline void
cond_init (pthread_cond_t *cond)
{
  pthread_condattr_t attr;

  if (pthread_condattr_init (&attr) ||
      pthread_condattr_setclock (&attr, CLOCK_MONOTONIC) ||
      pthread_cond_init (cond, &attr))
    abort ();
  pthread_condattr_destroy (&attr);
}

/* Wait until somebody signals, or `until` (ns; NEVER: no limit); or for no
 * reason, as with pthread_cond_wait.
 */
static inline void
cond_wait_until (pthread_cond_t *cond, struct mutex *m, int64_t until)
  REQUIRES (m)
{
  struct timespec ts = clock_timespec (until);

  if (until == NEVER)
    pthread_cond_wait (cond, &m->m);
  else
    pthread_cond_timedwait (cond, &m->m, &ts);
}

#endif /* MBLOCK_COND_H */
