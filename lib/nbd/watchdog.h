/* SPDX-License-Identifier: BSD-3-Clause */
/* The watchdog of connections that libnbd drives.
 *
 * libnbd receives as long as there is something to receive.  A server that
 * sends without a pause keeps a thread in one call of libnbd, with the
 * connection's lock held, and no thread of the connection can look at the
 * clock.  So an additional thread watches the clock while such connections
 * exist.  It aborts a connection if one call has taken WATCHDOG_TICK, and
 *
 *   - the program is about to end,
 *   - the time for replies is over (connection_retire, or the thread's
 *     `until`),
 *   - or the call has taken WATCHDOG_MOST: the server keeps sending.
 *
 * Until then a long call is not suspicious: all requested data may arrive at
 * once.
 *
 * Lifetime.  A connection is watched from watchdog_add to watchdog_remove.  The
 * thread starts with the first connection, and is joined with the last.
 *
 * Locking.  watchdog_begin and watchdog_end take the connection's own watchdog
 * lock, after lf.lock.  The thread never takes lf.lock.
 *
 * Thread-safety: any thread may call watchdog_add and watchdog_remove, once
 * each for a connection.  watchdog_begin and watchdog_end are called by the
 * thread that holds lf.lock.
 */

#ifndef MBLOCK_WATCHDOG_H
#define MBLOCK_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "nbd/ending.h"

/* How often the thread looks, in nanoseconds. */
#define WATCHDOG_TICK NS_PER_S

/* How long a call may take, in nanoseconds.  A call cannot receive more than
 * what was in flight when it began, which is at most some GiB.
 */
#define WATCHDOG_MOST (60 * NS_PER_S)

/* The watchdog's part of a connection. */
struct watched {
  int fd;                       /* the socket … */
  _Atomic int64_t *drain_until; /* … and until when replies are awaited */
  struct watched *prev, *next;  /* watchdog.c's */
  struct mutex lock;
  uint64_t calls GUARDED_BY (lock); /* begun so far */
  bool in_call GUARDED_BY (lock);
  int64_t until GUARDED_BY (lock); /* of the thread in the call */
  const struct ending *ending GUARDED_BY (lock);
  uint64_t seen;                /* the watchdog's: calls at its last look … */
  int64_t since;                /* … and when it saw this call first */
  _Atomic bool flooded;         /* WATCHDOG_MOST is over */
};

/* Watch the connection with this socket.  The watchdog aborts it by setting
 * *drain_until to 0 and making the socket unreadable.  If no thread can be
 * started, connections are not watched.
 */
void watchdog_add (struct watched *w, int fd, _Atomic int64_t *drain_until);
void watchdog_remove (struct watched *w);

/* A libnbd call that may receive begins; ending may be NULL. */
static inline void
watchdog_begin (struct watched *w, int64_t until, const struct ending *ending)
{
  mutex_lock (&w->lock);
  w->calls++;
  w->in_call = true;
  w->until = until;
  w->ending = ending;
  mutex_unlock (&w->lock);
}

static inline void
watchdog_end (struct watched *w)
{
  mutex_lock (&w->lock);
  w->in_call = false;
  mutex_unlock (&w->lock);
}

#endif /* MBLOCK_WATCHDOG_H */
