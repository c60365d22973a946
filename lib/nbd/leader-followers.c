/* SPDX-License-Identifier: BSD-3-Clause */
/* Leader and followers; leader-followers.h says who uses this. */

#include <config.h>

#include <errno.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "nbd/leader-followers.h"

/* ------------------------------------------------------------- waiters */

void
lf_waiter_init (struct lf_waiter *w)
{
  atomic_init (&w->state, LF_RUNNING);
  w->pending = w->answered = 0;
  w->waits = w->busy = false;
  w->next_ask = clock_now () + ENDING_TICK;
  w->ending = NULL;
}

static void
futex_wake (_Atomic unsigned *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Store a new state and wake the thread if it sleeps.  After LF_DONE is stored
 * the waiter may be gone: then the wake-up hits an address at which no thread
 * sleeps, or one that checks why it woke up.  Release: pairs with lf_sleep.
 */
static void
waiter_set (struct lf_waiter *w, unsigned state)
{
  unsigned old = atomic_exchange_explicit (&w->state, state,
                                           memory_order_acq_rel);

  if (old == LF_SLEEPING)
    futex_wake (&w->state);
}

void
lf_ask (struct lf_waiter *w)
{
  waiter_set (w, LF_LOOK);
}

bool
lf_sleep (struct lf_waiter *w, int64_t until)
{
  struct timespec ts = clock_timespec (until);
  unsigned s = LF_RUNNING;

  atomic_compare_exchange_strong (&w->state, &s, LF_SLEEPING);
  while (atomic_load_explicit (&w->state, memory_order_acquire) == LF_SLEEPING)
    if (syscall (SYS_futex, &w->state,
                 FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, LF_SLEEPING,
                 until == NEVER ? NULL : &ts, NULL,
                 FUTEX_BITSET_MATCH_ANY) == -1 && errno == ETIMEDOUT)
      break;
  s = LF_SLEEPING;
  if (!atomic_compare_exchange_strong (&w->state, &s, LF_RUNNING) &&
      s == LF_LOOK)
    atomic_compare_exchange_strong (&w->state, &s, LF_RUNNING);
  return s == LF_DONE;
}

bool
lf_follow (struct lf_waiter *w, int64_t until, bool *ends)
{
  *ends = false;
  if (lf_sleep (w, w->next_ask < until ? w->next_ask : until))
    return true;
  *ends = lf_ask_ending (w);
  return false;
}

/* By the clock, not when nothing happens: a server that trickles keeps its
 * connection busy.
 */
bool
lf_ask_ending (struct lf_waiter *w)
{
  int64_t now = clock_now ();

  if (now < w->next_ask)
    return false;
  w->next_ask = now + ENDING_TICK;
  return program_ends (w->ending);
}

/* ------------------------------------------------- leader and followers */

void
lf_init (struct leader_followers *lf)
{
  mutex_init (&lf->lock);
}

void
lf_destroy (struct leader_followers *lf)
{
  mutex_destroy (&lf->lock);
}

/* The thread that issued last is most likely to be awake, and has to stay
 * longest.  A thread that has not come to wait yet may be busy elsewhere for
 * any time; it leads when it comes, if nobody else does.
 */
static struct lf_waiter *
next_leader (struct leader_followers *lf) REQUIRES (&lf->lock)
{
  struct lf_command *c = lf->last;

  while (c && (!c->waiter->waits || c->waiter->busy ||
               c->waiter->pending == c->waiter->answered))
    c = c->prev;
  return c ? c->waiter : NULL;
}

void
lf_unlock (struct leader_followers *lf)
{
  struct lf_waiter *w = lf->done, *next;

  lf->done = NULL;
  if (lf->leader == NULL && lf->asked == NULL) {
    lf->asked = next_leader (lf);
    if (lf->asked)
      waiter_set (lf->asked, LF_LOOK);
  }
  mutex_unlock (&lf->lock);
  for (; w; w = next) {
    next = w->next_done;
    waiter_set (w, LF_DONE);
  }
}

void
lf_add (struct leader_followers *lf, struct lf_command *c,
        struct lf_waiter *w)
{
  c->waiter = w;
  c->next = NULL;
  if (w->pending++ == 0)
    atomic_store (&w->state, LF_RUNNING);
  c->prev = lf->last;
  if (lf->last)
    lf->last->next = c;
  else
    lf->first = c;
  lf->last = c;
}

void
lf_complete (struct leader_followers *lf, struct lf_command *c)
{
  struct lf_waiter *w = c->waiter;

  if (c->prev)
    c->prev->next = c->next;
  else
    lf->first = c->next;
  if (c->next)
    c->next->prev = c->prev;
  else
    lf->last = c->prev;
  if (--w->pending == 0) {
    if (lf->asked == w)
      lf->asked = NULL;
    w->next_done = lf->done;
    lf->done = w;
  }
}
