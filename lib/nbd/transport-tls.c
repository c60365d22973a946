/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on a connection with TLS: through libnbd, which knows how to
 * encrypt.
 *
 * The leader sleeps in poll(2), because nbd_poll(3) would hold libnbd's lock of
 * the handle while it waits.  If the socket takes only a part of a command, the
 * issuer stays to write the rest while another leads (help_write).
 *
 * libnbd must be told of a readable socket only when it is readable: after
 * a futile receive it would queue commands rather than write them.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>

#include <libnbd.h>

#include "clock.h"
#include "upstream.h"
#include "upstream-private.h"

/* -------------------------------------------------------- completion */

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
  crew_complete (&u->crew, c);
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
settle_reads (struct upstream *u) REQUIRES (&u->crew.lock)
{
  struct upstream_command *c = u->reads, *next;

  u->reads = NULL;
  for (; c; c = next) {
    next = c->next_read;
    if (nbd_aio_command_completed (u->nbd, c->cookie) == -1)
      c->error = EIO;
    crew_complete (&u->crew, c);
  }
}

static void
notice_loss (struct upstream *u) REQUIRES (&u->crew.lock)
{
  if (!atomic_load (&u->lost) &&
      (nbd_aio_is_dead (u->nbd) || nbd_aio_is_closed (u->nbd))) {
    /* Our descriptor keeps the socket open: let the server know. */
    upstream_kill_locked (u);
  }
}

/* ------------------------------------------------------------- issuing */

static int64_t
call_libnbd (struct upstream *u, struct upstream_command *c)
  REQUIRES (&u->crew.lock)
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

static void
issue (struct upstream *u, struct upstream_command *c,
       struct upstream_waiter *w, int64_t until)
{
  (void) until;                 /* libnbd does not block */

  crew_lock (&u->crew);
  crew_add (&u->crew, c, w);
  if (u->killed || atomic_load (&u->lost)) {
    c->error = ENOTCONN;
    crew_complete (&u->crew, c);
  }
  else {
    int64_t cookie = call_libnbd (u, c);

    c->cookie = cookie;
    if (cookie == -1) {
      int err = nbd_get_errno ();

      notice_loss (u);
      c->error = atomic_load (&u->lost) ? ENOTCONN : err ? err : EIO;
      crew_complete (&u->crew, c);
    }
    else {
      settle_reads (u);
      notice_loss (u);
    }
  }
  crew_unlock (&u->crew);
}

/* ------------------------------------------------------------- waiting */

/* Tell libnbd what poll(2) said. */
static void
dispatch (struct upstream *u, short revents) REQUIRES (&u->crew.lock)
{
  unsigned direction = nbd_aio_get_direction (u->nbd);

  if ((direction & LIBNBD_AIO_DIRECTION_READ) && (revents & ~POLLOUT))
    nbd_aio_notify_read (u->nbd);
  else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) && (revents & ~POLLIN))
    nbd_aio_notify_write (u->nbd);
  settle_reads (u);
  notice_loss (u);
}

/* Sleep in poll(2) without the lock, as the thread of this waiter. */
static short
wait_for_socket (struct upstream *u, const struct upstream_waiter *w,
                 short events, int64_t until)
  REQUIRES (&u->crew.lock)
{
  struct pollfd p = { .fd = u->fd, .events = events };
  bool time_to_leave;
  int r;

  crew_unlock (&u->crew);
  r = poll (&p, 1, clock_poll_timeout (next_tick (ENDING_TICK, until)));
  time_to_leave = upstream_cut_off (u) ||
    (r == 0 && upstream_ends (w->ending));
  crew_lock (&u->crew);
  if (time_to_leave)
    upstream_cut_locked (u);
  return r > 0 ? p.revents : 0;
}

static void
lead (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  u->crew.leader = w;
  u->crew.asked = NULL;
  while (w->pending) {
    short events = POLLIN, revents;

    if (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
      events |= POLLOUT;
    revents = wait_for_socket (u, w, events, until);
    if (revents)
      dispatch (u, revents);
    else if (until != NEVER && clock_now () >= until)
      break;
  }
  u->crew.leader = NULL;
}

/* The socket did not take all that was issued, and the leader may be asleep
 * until it can be read.
 */
static void
help_write (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  u->writing = w->busy = true;
  if (u->crew.asked == w)
    u->crew.asked = NULL;
  while (!atomic_load (&u->lost) &&
         (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)) {
    short revents = wait_for_socket (u, w, POLLOUT, until);

    if (revents & POLLOUT) {
      if (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE)
        nbd_aio_notify_write (u->nbd);
      settle_reads (u);
      notice_loss (u);
    }
    else if (revents || (until != NEVER && clock_now () >= until))
      break;
  }
  u->writing = w->busy = false;
}

static bool
work (struct upstream *u, struct upstream_waiter *w, int64_t until)
  REQUIRES (&u->crew.lock)
{
  if (u->crew.leader == NULL)
    lead (u, w, until);
  else if (!u->writing && !atomic_load (&u->lost) &&
           (nbd_aio_get_direction (u->nbd) & LIBNBD_AIO_DIRECTION_WRITE))
    help_write (u, w, until);
  else
    return false;
  return true;
}

bool
over_libnbd_goodbye (struct nbd_handle *nbd, int64_t until)
{
  if (!nbd_aio_is_ready (nbd) || nbd_aio_disconnect (nbd, 0) == -1)
    return false;
  while (!nbd_aio_is_dead (nbd) && !nbd_aio_is_closed (nbd) &&
         clock_now () < until)
    if (nbd_poll (nbd, clock_poll_timeout (until)) == -1)
      break;
  return nbd_aio_is_dead (nbd) || nbd_aio_is_closed (nbd);
}

static bool
goodbye (struct upstream *u, int64_t until)
{
  return over_libnbd_goodbye (u->nbd, until);
}

static const struct upstream_way way = {
  .issue = issue, .work = work, .goodbye = goodbye,
};

void
over_libnbd_init (struct upstream *u)
{
  atomic_init (&u->cut_off, NEVER);
  u->way = &way;
}
