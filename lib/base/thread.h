/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that mblock creates inside a foreign program, nbdkit.
 *
 * Every thread that mblock creates inside nbdkit is created here, so that
 *
 *   - it blocks all signals: they are for the program's own threads, and
 *     interrupt no system call of ours;
 *   - its name begins with "mblock-", which distinguishes it from nbdkit's
 *   threads in "top -H" and in /proc/PID/task/ID/comm.
 *     /proc/PID/task/ID/comm tell it from nbdkit's threads.
 *
 * A program that such a thread starts would inherit the blocked signals, and
 * SIGTERM would not end it.  Code that starts a program therefore calls
 * thread_signals_open before and thread_signals_restore after.
 *
 * Thread-safety: any thread may call these.
 */

#ifndef MBLOCK_THREAD_H
#define MBLOCK_THREAD_H

#include <pthread.h>
#include <signal.h>

/* The longest name, in bytes.  The kernel keeps no more. */
#define THREAD_MAX_NAME 15

/* Like pthread_create, for a thread that will be joined.  The name stays the
 * caller's, and must outlive the start of the thread, as a literal does.
 * Returns 0 or an error number.
 */
int thread_start (pthread_t *thread, const char *name, void *(*fn) (void *),
                  void *opaque);

/* Give the calling thread the signal mask that the program had when it loaded
 * us, and store the previous mask in *own.
 */
void thread_signals_open (sigset_t *own);

/* Restore the previous mask. */
void thread_signals_restore (const sigset_t *own);

#endif /* MBLOCK_THREAD_H */
