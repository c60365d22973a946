/* SPDX-License-Identifier: BSD-3-Clause */
/* A pthread mutex that clang's -Wthread-safety can follow.
 *
 * Under clang the macros below are checked at compile time; gcc sees plain
 * pthread calls.  A function that must be called with a mutex held says so with
 * REQUIRES; if other files call it, its name ends in _locked.  GUARDED_BY names
 * the mutex that guards a field.
 *
 * A lock or unlock that fails is a bug in the caller (EDEADLK, EPERM), and
 * aborts: no state is left to continue with.
 */

#ifndef MBLOCK_MUTEX_H
#define MBLOCK_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__clang__)
#define TSA(x) __attribute__ ((x))
#else
#define TSA(x)
#endif

#define CAPABILITY(name) TSA (capability (name))
/* In C, an attribute cannot name a member of the struct that contains it.  On
 * fields this is therefore only documentation; REQUIRES is checked.
 */
#define GUARDED_BY(m)
#define REQUIRES(...) TSA (requires_capability (__VA_ARGS__))
#define EXCLUDES(...) TSA (locks_excluded (__VA_ARGS__))
#define ACQUIRE(...) TSA (acquire_capability (__VA_ARGS__))
#define TRY_ACQUIRE(...) TSA (try_acquire_capability (__VA_ARGS__))
#define RELEASE(...) TSA (release_capability (__VA_ARGS__))
#define NO_TSA TSA (no_thread_safety_analysis)

struct CAPABILITY ("mutex") mutex {
  pthread_mutex_t m;
};

#define MUTEX_INITIALIZER { PTHREAD_MUTEX_INITIALIZER }

static inline void
mutex_init (struct mutex *l)
{
  if (pthread_mutex_init (&l->m, NULL))
    abort ();
}

static inline void
mutex_destroy (struct mutex *l)
{
  if (pthread_mutex_destroy (&l->m))
    abort ();
}

static inline void
mutex_lock (struct mutex *l) ACQUIRE (l) NO_TSA
{
  if (pthread_mutex_lock (&l->m))
    abort ();
}

/* Lock it unless somebody has it, perhaps this thread.  Returns whether it is
 * locked now.
 */
static inline bool
mutex_try_lock (struct mutex *l) TRY_ACQUIRE (true, l) NO_TSA
{
  return pthread_mutex_trylock (&l->m) == 0;
}

static inline void
mutex_unlock (struct mutex *l) RELEASE (l) NO_TSA
{
  if (pthread_mutex_unlock (&l->m))
    abort ();
}

#endif /* MBLOCK_MUTEX_H */
