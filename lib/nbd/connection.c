/* SPDX-License-Identifier: BSD-3-Clause */
/* What both ways to the server have in common; upstream.h has the design. */

#include <config.h>

#include <errno.h>
#include <poll.h>

#include <sys/socket.h>

#include "upstream.h"
#include "upstream-private.h"

void
upstream_issue (struct upstream *u, struct upstream_command *c,
                struct upstream_waiter *w, int64_t until)
{
  c->upstream = u;
  u->way->issue (u, c, w, until);
}

bool
upstream_wait (struct upstream *u, struct upstream_waiter *w, int64_t until)
{
  bool in_time = true, ends;

  crew_lock (&u->crew);
  while (w->pending) {
    if (until != NEVER && clock_now () >= until) {
      upstream_kill_locked (u);
      until = NEVER;
      in_time = false;
    }
    if (u->way->work (u, w, until))
      continue;
    crew_unlock (&u->crew);
    if (crew_follow (w, until, &ends))
      return in_time;
    crew_lock (&u->crew);
    if (u->crew.asked == w)
      u->crew.asked = NULL;
    if (ends)
      upstream_cut_locked (u);
  }
  crew_unlock (&u->crew);
  /* Who completed our command may not have stored DONE yet. */
  while (!crew_sleep (w, NEVER))
    ;
  return in_time;
}

void
upstream_cut_off_at (struct upstream *u, int64_t until)
{
  int64_t old = atomic_load (&u->cut_off);

  while (until < old &&
         !atomic_compare_exchange_weak (&u->cut_off, &old, until))
    ;
}

void
upstream_kill_locked (struct upstream *u)
{
  if (u->killed)
    return;
  u->killed = true;
  atomic_store (&u->lost, true);
  upstream_cut_off_at (u, clock_now () + u->parting_time);
  shutdown (u->fd, SHUT_WR);
}

void
upstream_cut_locked (struct upstream *u)
{
  u->killed = true;
  atomic_store (&u->lost, true);
  upstream_cut_off_at (u, 0);
  shutdown (u->fd, SHUT_RDWR);
}

void
upstream_retire (struct upstream *u, int64_t until)
{
  upstream_cut_off_at (u, until);
  crew_lock (&u->crew);
  if (upstream_cut_off (u))
    upstream_cut_locked (u);
  crew_unlock (&u->crew);
}

bool
upstream_await_end (struct upstream *u, const struct upstream_ending *e,
                    int64_t until)
{
  unsigned char rest[4096];

  while (clock_now () < until && !upstream_ends (e)) {
    struct pollfd p = { .fd = u->fd, .events = POLLIN };
    ssize_t r;

    poll (&p, 1, clock_poll_timeout (next_tick (ENDING_TICK, until)));
    r = recv (u->fd, rest, sizeof rest, MSG_DONTWAIT);
    if (r == 0 || (r == -1 && errno != EINTR && errno != EAGAIN))
      return true;
  }
  return false;
}

bool
upstream_is_lost (const struct upstream *u)
{
  return atomic_load (&u->lost);
}

const char *
upstream_take_wrong (struct upstream *u)
{
  const char *wrong;

  crew_lock (&u->crew);
  wrong = u->wrong;
  u->wrong = NULL;
  crew_unlock (&u->crew);
  return wrong;
}

const struct upstream_info *
upstream_info (const struct upstream *u)
{
  return &u->info;
}
