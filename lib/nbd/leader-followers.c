/* SPDX-License-Identifier: BSD-3-Clause */
/* Leader and followers; crew.h says who uses this. */

#include <config.h>

#include <errno.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/syscall.h>

#include "clock.h"
#include "crew.h"
#include "upstream-private.h"

/* ------------------------------------------------------------- waiters
 *
 *                  issues, wakes up
 *     RUNNING <------------------------+
 *      |  |                            |
 *      |  | crew_sleep                 |
 *      |  +-----------> SLEEPING -----(+)------- crew_ask -----> LOOK
 *      |                    |                                     |
 *      +--- crew_unlock ----+-----------> DONE <------------------+
 */
enum { RUNNING, SLEEPING, LOOK, DONE };

void
upstream_waiter_init (struct upstream_waiter *w)
{
  atomic_init (&w->state, RUNNING);
  w->pending = w->settling = 0;
  w->busy = false;
  w->ending = NULL;
}

static void
futex_wake (_Atomic unsigned *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Store a new state and wake the thread if it sleeps.  After DONE is stored the
 * waiter may be gone: then the wake-up hits an address at which nobody sleeps,
 * or somebody who checks why it woke up.  Release: pairs with crew_sleep.
 */
static void
waiter_set (struct upstream_waiter *w, unsigned state)
{
  unsigned old = atomic_exchange_explicit (&w->state, state,
                                           memory_order_acq_rel);

  if (old == SLEEPING)
    futex_wake (&w->state);
}

void
crew_ask (struct upstream_waiter *w)
{
  waiter_set (w, LOOK);
}

bool
crew_sleep (struct upstream_waiter *w, int64_t until)
{
  struct timespec ts = clock_timespec (until);
  unsigned s = RUNNING;

  atomic_compare_exchange_strong (&w->state, &s, SLEEPING);
  while (atomic_load_explicit (&w->state, memory_order_acquire) == SLEEPING)
    if (syscall (SYS_futex, &w->state,
                 FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, SLEEPING,
                 until == NEVER ? NULL : &ts, NULL,
                 FUTEX_BITSET_MATCH_ANY) == -1 && errno == ETIMEDOUT)
      break;
  s = SLEEPING;
  if (!atomic_compare_exchange_strong (&w->state, &s, RUNNING) && s == LOOK)
    atomic_compare_exchange_strong (&w->state, &s, RUNNING);
  return s == DONE;
}

bool
crew_follow (struct upstream_waiter *w, int64_t until, bool *ends)
{
  int64_t tick = next_tick (ENDING_TICK, until);

  *ends = false;
  if (crew_sleep (w, tick))
    return true;
  *ends = tick != until && clock_now () >= tick && upstream_ends (w->ending);
  return false;
}

/* ---------------------------------------------------------------- crew */

void
crew_init (struct crew *crew)
{
  mutex_init (&crew->lock);
}

void
crew_destroy (struct crew *crew)
{
  mutex_destroy (&crew->lock);
}

/* Who issued last is most likely to be awake, and will have to stay longest. */
static struct upstream_waiter *
next_leader (struct crew *crew) REQUIRES (&crew->lock)
{
  struct upstream_command *c = crew->last;

  while (c && (c->waiter->busy ||
               c->waiter->pending == c->waiter->settling))
    c = c->prev;
  return c ? c->waiter : NULL;
}

void
crew_unlock (struct crew *crew)
{
  struct upstream_waiter *w = crew->done, *next;

  crew->done = NULL;
  if (crew->leader == NULL && crew->asked == NULL) {
    crew->asked = next_leader (crew);
    if (crew->asked)
      waiter_set (crew->asked, LOOK);
  }
  mutex_unlock (&crew->lock);
  for (; w; w = next) {
    next = w->next_done;
    waiter_set (w, DONE);
  }
}

void
crew_add (struct crew *crew, struct upstream_command *c,
          struct upstream_waiter *w)
{
  c->waiter = w;
  c->error = 0;
  c->next = NULL;
  if (w->pending++ == 0)
    atomic_store (&w->state, RUNNING);
  c->prev = crew->last;
  if (crew->last)
    crew->last->next = c;
  else
    crew->first = c;
  crew->last = c;
}

void
crew_complete (struct crew *crew, struct upstream_command *c)
{
  struct upstream_waiter *w = c->waiter;

  if (c->prev)
    c->prev->next = c->next;
  else
    crew->first = c->next;
  if (c->next)
    c->next->prev = c->prev;
  else
    crew->last = c->prev;
  if (--w->pending == 0) {
    if (crew->asked == w)
      crew->asked = NULL;
    w->next_done = crew->done;
    crew->done = w;
  }
}
