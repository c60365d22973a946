/* SPDX-License-Identifier: BSD-3-Clause */
/* Read-copy-update for threads that did not register.
 *
 * Design
 *
 * nbdkit starts and ends the threads, so each is registered with liburcu when
 * it first needs it, and unregistered by a destructor of thread-specific data.
 * liburcu's bulletproof flavour would do this by itself, but its grace period
 * sleeps for 10 ms whenever it meets a reader that takes longer than a short
 * spin, and our readers copy up to 256 KiB: a clone under load took 20 ms.  The
 * "memb" flavour waits on a futex that the last reader wakes; a clone under
 * load takes well under 1 ms (bench/rcu-bench).
 *
 * What the engine relies on (cited by number elsewhere)
 *
 *   RCU1 Everything that a reader section did is visible to the caller of
 *         rcu_grace_period when that returns, if the section began before the
 *         call.
 *   RCU2 A section that has not ended when rcu_grace_period returns began after
 *         the call began, and sees everything that its caller had stored
 *         before.
 *
 * Inside a section, a thread does not allocate, take a lock, or wait.  Sections
 * are short (a copy of at most 256 KiB), because a grace period lasts as long
 * as the longest of them.
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

/* Inline liburcu's read side, which its README allows for code under a licence
 * like ours: as calls it costs a fifth of a random read of 4 KiB.
 */
#ifndef MBLOCK_TSAN
#define _LGPL_SOURCE
#endif

#include <urcu/urcu-memb.h>

#include "base/thread-local.h"

/* liburcu is not instrumented, so ThreadSanitizer is told about RCU1 here.  It
 * is not told about RCU2: the engine's own atomics must establish that order.
 */
#ifdef MBLOCK_TSAN
void __tsan_acquire (void *);
void __tsan_release (void *);
extern char rcu_tsan_token;
#endif

/* 0 until this thread is registered, then 1, 2, 3 … in order of arrival. */
extern THREAD_LOCAL unsigned rcu_thread;

int rcu_register (void);

/* Prepare this thread to enter reader sections.  Called at the start of each
 * operation; costs one load after the first time.  Returns 0, or -1 with errno
 * ENOMEM.
 */
static inline int
rcu_prepare (void)
{
  return __builtin_expect (rcu_thread != 0, true) ? 0 : rcu_register ();
}

/* A small number for this thread, to choose one of several counters. */
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

/* Marks places where the engine is most sensitive to what other threads do.
 * The stress test's build of the engine dawdles there; in other builds it is
 * empty.
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
