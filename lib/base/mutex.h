/* SPDX-License-Identifier: BSD-3-Clause */
/* A pthread mutex that clang's -Wthread-safety can follow.
 *
 * Under clang the macros below are checked at compile time; gcc sees plain
 * pthread calls.  A function that wants a mutex held says so with REQUIRES; one
 * that others may call has a name that ends in _locked.  A field says with
 * GUARDED_BY which mutex guards it.
 *
 * A failing lock or unlock is a bug in the caller (EDEADLK, EPERM) and aborts:
 * there is no state to go on with.
 */

#ifndef MBLOCK_MUTEX_H
#define MBLOCK_MUTEX_H

#include <pthread.h>
#include <stdlib.h>

#if defined(__clang__)
#define TSA(x) __attribute__ ((x))
#else
#define TSA(x)
#endif

#define CAPABILITY(name) TSA (capability (name))
/* In C an attribute cannot name a member of the struct it stands in, so on
 * fields this is for the reader; the functions' REQUIRES is what is checked.
 */
#define GUARDED_BY(m)
#define REQUIRES(...) TSA (requires_capability (__VA_ARGS__))
#define EXCLUDES(...) TSA (locks_excluded (__VA_ARGS__))
#define ACQUIRE(...) TSA (acquire_capability (__VA_ARGS__))
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

static inline void
mutex_unlock (struct mutex *l) RELEASE (l) NO_TSA
{
  if (pthread_mutex_unlock (&l->m))
    abort ();
}

#endif /* MBLOCK_MUTEX_H */
