/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdkit's end, for threads that wait for a server. */

#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "nbdkit-ending.h"

bool
ending_or_client_gone (void *opaque)
{
  (void) opaque;
  return nbdkit_nanosleep (0, 1) == -1;
}

/* nbdkit can report that it is ending, but a thread that serves a client also
 * gets that report when its client leaves.  So another thread listens for it.
 * The first question starts this thread.  It ends when nobody has asked for a
 * while: questions come only while a server does not answer.
 */
#define IDLE (5 * NS_PER_S)

/* How long the thread sleeps at a time, in nanoseconds; nbdkit's end wakes it.
 */
#define SLICE (200 * NS_PER_MS)

static struct mutex lock = MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static pthread_t thread GUARDED_BY (lock);
static enum {
  NO_THREAD,
  STARTED,                      /* it has not found out anything yet */
  LISTENS,
  GONE,                         /* to be joined */
} state GUARDED_BY (lock);
static int64_t asked GUARDED_BY (lock); /* when somebody did last */
static bool stopped GUARDED_BY (lock); /* ending_stop */
static _Atomic bool ends;

static void *
listen_to_nbdkit (void *opaque)
{
  int64_t time = 1;
  bool more;

  (void) opaque;
  do {
    if (nbdkit_nanosleep (0, time) == -1)
      atomic_store (&ends, true);
    time = SLICE;
    mutex_lock (&lock);
    more = !atomic_load (&ends) && !stopped && clock_now () < asked + IDLE;
    state = more ? LISTENS : GONE;
    pthread_cond_broadcast (&answered);
    mutex_unlock (&lock);
  } while (more);
  return NULL;
}

static void
start_thread (void) REQUIRES (&lock)
{
  if (state == GONE)
    pthread_join (thread, NULL);
  state = thread_start (&thread, "mblock-ending", listen_to_nbdkit, NULL) == 0
    ? STARTED : NO_THREAD;
}

static bool
is_ending (void *opaque)
{
  bool r;

  (void) opaque;
  if (atomic_load (&ends))
    return true;
  mutex_lock (&lock);
  asked = clock_now ();
  if (!stopped && (state == NO_THREAD || state == GONE))
    start_thread ();
  while (state == STARTED)
    pthread_cond_wait (&answered, &lock.m);
  r = atomic_load (&ends) || stopped;
  mutex_unlock (&lock);
  return r;
}

const struct ending ending_of_nbdkit = { .fn = is_ending };

void
ending_stop (void)
{
  bool is_there;

  mutex_lock (&lock);
  is_there = !stopped && state != NO_THREAD;
  stopped = true;
  mutex_unlock (&lock);
  if (is_there)
    pthread_join (thread, NULL);
}
