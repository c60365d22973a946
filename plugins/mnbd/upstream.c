/* SPDX-License-Identifier: BSD-3-Clause */
/* What both ways to the server have in common; upstream.h has the design. */

#include <config.h>

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
      upstream_kill_locked (u);
  }
  crew_unlock (&u->crew);
  /* Who completed our command may not have stored DONE yet. */
  while (!crew_sleep (w, NEVER))
    ;
  return in_time;
}

void
upstream_kill_locked (struct upstream *u)
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
  crew_lock (&u->crew);
  upstream_kill_locked (u);
  crew_unlock (&u->crew);
}

bool
upstream_is_lost (const struct upstream *u)
{
  return atomic_load (&u->lost);
}

const char *
upstream_wrong (struct upstream *u)
{
  const char *wrong;

  crew_lock (&u->crew);
  wrong = u->wrong;
  crew_unlock (&u->crew);
  return wrong;
}

const struct upstream_info *
upstream_info (const struct upstream *u)
{
  return &u->info;
}
