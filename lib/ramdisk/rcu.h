/* SPDX-License-Identifier: BSD-3-Clause */
/* Read-copy-update for threads that nobody registered.
 *
 * Design
 *
 * nbdkit starts and ends the threads, so each one is registered with liburcu
 * the first time it needs to be, and unregistered by a thread-specific-data
 * destructor.  liburcu's bulletproof flavour would do this by itself, but its
 * grace period sleeps for 10 ms whenever it meets a reader that lasts longer
 * than a short spin, and our readers copy up to 256 KiB: a clone under load
 * took 20 ms with it.  The "memb" flavour waits on a futex that the last reader
 * wakes; a clone under load takes well under 1 ms.  bench/ has the figures.
 *
 * What the engine relies on (cited by number elsewhere)
 *
 *   RCU1  All that a reader section did is visible to the caller of
 *         rcu_grace_period when that returns, if the section began before
 *         the call.
 *   RCU2  A section that is not over when rcu_grace_period returns began after
 *         the call began, and sees all that its caller stored before.
 *
 * Inside a section a thread allocates nothing, takes no lock and waits for
 * nothing.  Sections are short (a copy of 256 KiB at the most) because a grace
 * period lasts as long as the longest of them.
 *
 * Thread-safety: all of these may be called from any thread.
 *   takes no lock:            rcu_enter, rcu_exit, rcu_thread_number
 *   takes locks inside:       rcu_prepare (the first time in a thread)
 *   waits for reader sections, so never inside one: rcu_grace_period
 */

#ifndef MRAMDISK_RCU_H
#define MRAMDISK_RCU_H

#include <stdbool.h>

#if defined(__SANITIZE_THREAD__)
#define MBLOCK_TSAN 1
#elif defined(__has_feature)
#if __has_feature (thread_sanitizer)
#define MBLOCK_TSAN 1
#endif
#endif

/* Have liburcu's read side inline, which its README allows to code under
 * a licence like ours: as calls it costs a fifth of a random 4 KiB read.
 */
#ifndef MBLOCK_TSAN
#define _LGPL_SOURCE
#endif

#include <urcu/urcu-memb.h>

#include "thread-local.h"

/* liburcu is not instrumented, so ThreadSanitizer is told about RCU1 by hand.
 * RCU2 is not told: the engine's own atomics must carry that order.
 */
#ifdef MBLOCK_TSAN
void __tsan_acquire (void *);
void __tsan_release (void *);
extern char rcu_tsan_token;
#endif

/* 0 until this thread is registered, then 1, 2, 3 … in order of arrival. */
extern THREAD_LOCAL unsigned rcu_thread;

int rcu_register (void);

/* Make this thread able to enter reader sections.  To be called at the start
 * of each operation; costs one load after the first time.
 * Returns 0, or -1 with errno ENOMEM.
 */
static inline int
rcu_prepare (void)
{
  return __builtin_expect (rcu_thread != 0, true) ? 0 : rcu_register ();
}

/* A small number for this thread, for picking one of several counters. */
static inline unsigned
rcu_thread_number (void)
{
  return rcu_thread;
}

static inline void
rcu_enter (void)
{
  urcu_memb_read_lock ();
}

static inline void
rcu_exit (void)
{
#ifdef MBLOCK_TSAN
  __tsan_release (&rcu_tsan_token);
#endif
  urcu_memb_read_unlock ();
}

/* Where the engine is most sensitive to what other threads do just then.  The
 * stress test's own build of the engine dawdles there; else it is nothing.
 */
#ifdef MBLOCK_STRESS
void stress_point (void);
#define STRESS_POINT() stress_point ()
#else
#define STRESS_POINT() ((void) 0)
#endif

/* Wait until every reader section that is open now has ended. */
static inline void
rcu_grace_period (void)
{
  urcu_memb_synchronize_rcu ();
#ifdef MBLOCK_TSAN
  __tsan_acquire (&rcu_tsan_token);
#endif
}

#endif /* MRAMDISK_RCU_H */
