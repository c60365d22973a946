/* SPDX-License-Identifier: BSD-3-Clause */
/* The threads that drive a connection: commands in flight, who waits for them,
 * who leads.  upstream.h has the design; this is what both ways to the server
 * (over-socket.c, over-libnbd.c) share.
 */

#ifndef MNBD_CREW_H
#define MNBD_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "mutex.h"
#include "upstream.h"

struct crew {
  struct mutex lock;
  struct upstream_waiter *leader GUARDED_BY (lock); /* somebody leads … */
  struct upstream_waiter *asked GUARDED_BY (lock); /* … or was asked to */
  /* Commands in flight, oldest first. */
  struct upstream_command *first GUARDED_BY (lock);
  struct upstream_command *last GUARDED_BY (lock);
  /* Waiters whose commands are complete, to be told by crew_unlock. */
  struct upstream_waiter *done GUARDED_BY (lock);
};

void crew_init (struct crew *crew);
void crew_destroy (struct crew *crew);

static inline void
crew_lock (struct crew *crew) ACQUIRE (&crew->lock)
{
  mutex_lock (&crew->lock);
}

/* Before the lock is given up, see to U1; after that, wake those whose commands
 * are complete.
 */
void crew_unlock (struct crew *crew) RELEASE (&crew->lock);

/* The command is in flight from now on. */
void crew_add (struct crew *crew, struct upstream_command *c,
               struct upstream_waiter *w) REQUIRES (&crew->lock);

/* The command is complete: nobody but its thread may look at it once the lock
 * was given up.
 */
void crew_complete (struct crew *crew, struct upstream_command *c)
  REQUIRES (&crew->lock);

/* Ask a waiter to look what there is to do. */
void crew_ask (struct upstream_waiter *w);

/* Sleep until asked to look, done, or `until`.  Returns true if done. */
bool crew_sleep (struct upstream_waiter *w, int64_t until);

/* The same for a follower, who may wake up earlier to ask whether the program
 * is about to end; *ends: it is, and the command is not done.
 */
bool crew_follow (struct upstream_waiter *w, int64_t until, bool *ends);

#endif /* MNBD_CREW_H */
