/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that mblock creates. thread.h says what is special about them. */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/thread.h"

struct beginning {
  const char *name;
  void *(*fn) (void *);
  void *opaque;
};

/* The signal mask of the thread that loaded us.  It is not stored with each
 * thread, because plugin and filter each have a copy of this file, and a thread
 * that one of them created may run code of the other.
 */
static sigset_t outside;

static void __attribute__ ((constructor))
remember_signals (void)
{
  pthread_sigmask (SIG_SETMASK, NULL, &outside);
}

static void *
begin (void *vp)
{
  struct beginning b = *(struct beginning *) vp;

  free (vp);
  prctl (PR_SET_NAME, b.name);
  return b.fn (b.opaque);
}

int
thread_start (pthread_t *thread, const char *name, void *(*fn) (void *),
              void *opaque)
{
  struct beginning *b = malloc (sizeof *b);
  sigset_t all, own;
  int err;

  assert (strlen (name) <= THREAD_MAX_NAME);
  if (b == NULL)
    return ENOMEM;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &own);
  *b = (struct beginning) { name, fn, opaque };
  err = pthread_create (thread, NULL, begin, b);
  pthread_sigmask (SIG_SETMASK, &own, NULL);
  if (err)
    free (b);
  return err;
}

void
thread_signals_open (sigset_t *own)
{
  pthread_sigmask (SIG_SETMASK, &outside, own);
}

void
thread_signals_restore (const sigset_t *own)
{
  pthread_sigmask (SIG_SETMASK, own, NULL);
}
