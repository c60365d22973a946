/* SPDX-License-Identifier: BSD-3-Clause */
/* The threads that drive a connection: the commands in flight, the threads
 * that wait for them, and which of them leads.  connection.h has the design;
 * this is what both transports (transport-plain.c, transport-tls.c) share.
 */

#ifndef MNBD_LEADER_FOLLOWERS_H
#define MNBD_LEADER_FOLLOWERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "nbd/ending.h"

/* How often a thread that waits for a reply checks whether the program is about
 * to end.
 */
#define ENDING_TICK NS_PER_S

/* The state of a waiter:
 *
 *                  issues, wakes up
 *     RUNNING <------------------------+
 *      |  |                            |
 *      |  | lf_sleep                   |
 *      |  +-----------> SLEEPING -----(+)------- lf_ask -------> LOOK
 *      |                    |                                     |
 *      +---- lf_unlock -----+-----------> DONE <------------------+
 */
enum lf_state { LF_RUNNING, LF_SLEEPING, LF_LOOK, LF_DONE };

/* A thread that waits for one command or for several. */
struct lf_waiter {
  _Atomic unsigned state;       /* enum lf_state */
  unsigned pending;             /* commands that are not complete */
  unsigned answered;            /* of these, answered, but the sender's */
  bool waits;                   /* its thread is in connection_wait … */
  bool busy;                    /* … but sends, so it cannot lead */
  int64_t next_ask;             /* when to ask for the program's end */
  struct lf_waiter *next_done;

  /* If it is set and says so, the connection is killed; set by the caller. */
  const struct ending *ending;
};

/* The part of a command in flight that concerns leader and followers. */
struct lf_command {
  struct lf_waiter *waiter;
  struct lf_command *prev, *next;
};

struct leader_followers {
  struct mutex lock;
  struct lf_waiter *leader GUARDED_BY (lock); /* somebody leads … */
  struct lf_waiter *asked GUARDED_BY (lock); /* … or was asked to */
  /* Commands in flight, oldest first. */
  struct lf_command *first GUARDED_BY (lock);
  struct lf_command *last GUARDED_BY (lock);
  /* Waiters whose commands are complete, to be told by lf_unlock. */
  struct lf_waiter *done GUARDED_BY (lock);
};

void lf_waiter_init (struct lf_waiter *w);

void lf_init (struct leader_followers *lf);
void lf_destroy (struct leader_followers *lf);

static inline void
lf_lock (struct leader_followers *lf) ACQUIRE (&lf->lock)
{
  mutex_lock (&lf->lock);
}

/* Keep U1, give up the lock, and then wake the threads whose commands are
 * complete.
 */
void lf_unlock (struct leader_followers *lf) RELEASE (&lf->lock);

/* The command is in flight from now on. */
void lf_add (struct leader_followers *lf, struct lf_command *c,
             struct lf_waiter *w) REQUIRES (&lf->lock);

/* The command is complete: once the lock is given up, only its own thread may
 * access it.
 */
void lf_complete (struct leader_followers *lf, struct lf_command *c)
  REQUIRES (&lf->lock);

/* Wake a waiter that waits, so that it checks what there is to do. */
void lf_ask (struct lf_waiter *w);

/* Sleep until asked to look, done, or `until`.  Returns true if done. */
bool lf_sleep (struct lf_waiter *w, int64_t until);

/* The same for a follower, which also wakes up to check whether the program is
 * about to end; *ends: it is, and the command is not done.
 */
bool lf_follow (struct lf_waiter *w, int64_t until, bool *ends);

/* Is the program about to end?  Checks only every ENDING_TICK, so it may be
 * called all the time; by the waiter's own thread, without the lock.
 */
bool lf_ask_ending (struct lf_waiter *w);

#endif /* MNBD_LEADER_FOLLOWERS_H */
