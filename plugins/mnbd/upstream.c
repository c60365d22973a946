/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on one connection: leader and followers.  upstream.h has the
 * design.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <libnbd.h>

#include "clock.h"
#include "upstream.h"
#include "upstream-private.h"

/* ------------------------------------------------------------- waiters
 *
 *                  issues, wakes up
 *     RUNNING <------------------------+
 *      |  |                            |
 *      |  | sleep_until                |
 *      |  +-----------> SLEEPING -----(+)----- ask_to_lead ----> LEAD
 *      |                    |                                     |
 *      +---- complete ------+-----------> DONE <------------------+
 */
enum { RUNNING, SLEEPING, LEAD, DONE };

void
upstream_waiter_init (struct upstream_waiter *w)
{
  atomic_init (&w->state, RUNNING);
  w->pending = 0;
  w->helping = false;
}

static void
futex_wake (_Atomic unsigned *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Store a new state and wake the thread if it sleeps.  After DONE is stored the
 * waiter may be gone: then the wake-up hits an address at which nobody sleeps,
 * or somebody who checks why it woke up.  Release: pairs with sleep_until.
 */
static void
waiter_set (struct upstream_waiter *w, unsigned state)
{
  unsigned old = atomic_exchange_explicit (&w->state, state,
                                           memory_order_acq_rel);

  if (old == SLEEPING)
    futex_wake (&w->state);
}

/* Sleep until asked to lead, done, or `until`.  Returns true if done. */
static bool
sleep_until (struct upstream_waiter *w, int64_t until)
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
  if (!atomic_compare_exchange_strong (&w->state, &s, RUNNING) && s == LEAD)
    atomic_compare_exchange_strong (&w->state, &s, RUNNING);
  return s == DONE;
}

/* ------------------------------------------------------------ the lock */

/* Before the lock is given up, see to U1; after that, wake those whose commands
 * are complete: a wake-up takes long enough for others to queue at the lock.
 */
static void
unlock (struct upstream *u) RELEASE (&u->lock)
{
  struct upstream_waiter *w = u->done, *next;
  struct upstream_command *c = u->first;

  u->done = NULL;
  if (!u->led && u->asked == NULL) {
    while (c && c->waiter->helping)
      c = c->next;
    if (c) {
      u->asked = c->waiter;
      waiter_set (u->asked, LEAD);
    }
  }
  mutex_unlock (&u->lock);
  for (; w; w = next) {
    next = w->next_done;
    waiter_set (w, DONE);
  }
}

/* -------------------------------------------------------- completion */

static void
complete (struct upstream *u, struct upstream_command *c) REQUIRES (&u->lock)
{
  struct upstream_waiter *w = c->waiter;

  if (c->prev)
    c->prev->next = c->next;
  else
    u->first = c->next;
  if (c->next)
    c->next->prev = c->prev;
  else
    u->last = c->prev;
  if (--w->pending == 0) {
    if (u->asked == w)
      u->asked = NULL;
    w->next_done = u->done;
    u->done = w;
  }
}

/* libnbd calls this from inside our calls of it, so with the lock held. */
static int
completed (void *opaque, int *error) NO_TSA
{
  struct upstream_command *c = opaque;
  struct upstream *u = c->upstream;

  c->error = *error;
  if (c->op == UPSTREAM_READ && c->error == 0) {
    c->next_read = u->reads;
    u->reads = c;
    return 0;
  }
  complete (u, c);
  return 1;                     /* libnbd may forget it */
}

static int
extents (void *opaque, const char *metacontext, uint64_t offset,
         uint32_t *entries, size_t n, int *error)
{
  struct upstream_command *c = opaque;

  (void) metacontext;           /* we ask for one only */
  if (c->extents (c->opaque, offset, entries, n / 2) == -1) {
    *error = errno;
    return -1;
  }
  return 0;
}

/* libnbd tells whether a reply filled the whole buffer only to who asks. */
static void
settle_reads (struct upstream *u) REQUIRES (&u->lock)
{
  struct upstream_command *c = u->reads, *next;

  u->reads = NULL;
  for (; c; c = next) {
    next = c->next_read;
    if (nbd_aio_command_completed (u->nbd, c->cookie) == -1)
      c->error = EIO;
    complete (u, c);
  }
}

static void
notice_loss (struct upstream *u) REQUIRES (&u->lock)
{
  if (!atomic_load (&u->lost) &&
      (nbd_aio_is_dead (u->nbd) || nbd_aio_is_closed (u->nbd))) {
    atomic_store (&u->lost, true);
    /* Our descriptor keeps the socket open: let the server know. */
    shutdown (u->fd, SHUT_RDWR);
  }
}

static void
kill_locked (struct upstream *u) REQUIRES (&u->lock)
{
  if (u->killed)
    return;
  u->killed = true;
  atomic_store (&u->lost, true);
  shutdown (u->fd, SHUT_RDWR);
}

void
upstream_kill (struct upstream *u)
{
  mutex_lock (&u->lock);
  kill_locked (u);
  unlock (u);
}

bool
upstream_is_lost (const struct upstream *u)
{
  return atomic_load (&u->lost);
}

/* ------------------------------------------------------------- issuing */

static int64_t
call_libnbd (struct upstream *u, struct upstream_command *c)
  REQUIRES (&u->lock)
{
  nbd_completion_callback done = { .callback = completed, .user_data = c };

  switch (c->op) {
  case UPSTREAM_READ:
    return nbd_aio_pread (u->nbd, c->read, c->count, c->offset, done,
                          c->flags);
  case UPSTREAM_WRITE:
    return nbd_aio_pwrite (u->nbd, c->write, c->count, c->offset, done,
                           c->flags);
  case UPSTREAM_ZERO:
    return nbd_aio_zero (u->nbd, c->count, c->offset, done, c->flags);
  case UPSTREAM_TRIM:
    return nbd_aio_trim (u->nbd, c->count, c->offset, done, c->flags);
  case UPSTREAM_FLUSH:
    return nbd_aio_flush (u->nbd, done, c->flags);
  case UPSTREAM_CACHE:
    return nbd_aio_cache (u->nbd, c->count, c->offset, done, c->flags);
  case UPSTREAM_EXTENTS:
    return nbd_aio_block_status (u->nbd, c->count, c->offset,
                                 (nbd_extent_callback) {
                                   .callback = extents, .user_data = c },
                                 done, c->flags);
  }
  abort ();
}

void
upstream_issue (struct upstream *u, struct upstream_command *c,
                struct upstream_waiter *w)
{
  c->upstream = u;
  c->waiter = w;
  c->error = 0;
  c->next = NULL;

  mutex_lock (&u->lock);
  if (w->pending++ == 0)
    atomic_store (&w->state, RUNNING);
  c->prev = u->last;
  if (u->last)
    u->last->next = c;
  else
    u->first = c;
  u->last = c;

  if (u->killed || atomic_load (&u->lost)) {
    c->error = ENOTCONN;
    complete (u, c);
  }
  else {
    c->cookie = call_libnbd (u, c);
    if (c->cookie == -1) {
      int err = nbd_get_errno ();

      notice_loss (u);
      c->error = atomic_load (&u->lost) ? ENOTCONN : err ? err : EIO;
      complete (u, c);
    }
    else {
      settle_reads (u);
      notice_loss (u);
    }
  }
  unlock (u);
}

/* ------------------------------------------------------------- waiting */

/* Tell libnbd what poll(2) said. */
static void
dispatch (struct upstream *u, short revents) REQUIRES (&u->lock)
{
  unsigned direction = nbd_aio_get_direction (u->nbd);

  if ((direction & LIBNBD_AIO_DIRECTION_READ) && (revents & ~POLLOUT))
    nbd_aio_notify_read (u->nbd);
  else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) && (revents & ~POLLIN))
    nbd_aio_notify_write (u->nbd);
  settle_reads (u);
  notice_loss (u);
}

/* Sleep in poll(2) without the lock. */
static short
wait_for_socket (struct upstream *u, short events, int64_t until)
  REQUIRES (&u->lock)
{
  struct pollfd p = { .fd = u->fd, .events = events };
  int r;

  unlock (u);
  r = poll (&p, 1, clock_poll_timeout (until));
  mutex_lock (&u->lock);
  return r > 0 ? p.revents : 0;
}

static void
lead (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->lock)
{
  u->led = true;
  u->asked = NULL;
  while (w->pending) {
    short events = POLLIN, revents;

    if (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
      events |= POLLOUT;
    revents = wait_for_socket (u, events, until);
    if (revents)
      dispatch (u, revents);
    else if (until != NEVER && clock_now () >= until)
      break;
  }
  u->led = false;
}

/* The socket did not take all that was issued, and the leader may be asleep
 * until it can be read.
 */
static void
help_write (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->lock)
{
  u->writing = w->helping = true;
  if (u->asked == w)
    u->asked = NULL;
  while (!atomic_load (&u->lost) &&
         (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)) {
    short revents = wait_for_socket (u, POLLOUT, until);

    if (revents & POLLOUT) {
      if (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
        nbd_aio_notify_write (u->nbd);
      settle_reads (u);
      notice_loss (u);
    }
    else if (revents || (until != NEVER && clock_now () >= until))
      break;
  }
  u->writing = w->helping = false;
}

bool
upstream_wait (struct upstream *u, struct upstream_waiter *w, int64_t until)
{
  bool in_time = true;

  mutex_lock (&u->lock);
  while (w->pending) {
    if (until != NEVER && clock_now () >= until) {
      kill_locked (u);
      until = NEVER;
      in_time = false;
    }
    if (!u->led)
      lead (u, w, until);
    else if (!u->writing && !atomic_load (&u->lost) &&
             (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE))
      help_write (u, w, until);
    else {
      unlock (u);
      if (sleep_until (w, until))
        return in_time;
      mutex_lock (&u->lock);
      if (u->asked == w)
        u->asked = NULL;
    }
  }
  unlock (u);
  /* Who completed our command may not have stored DONE yet. */
  while (!sleep_until (w, NEVER))
    ;
  return in_time;
}
