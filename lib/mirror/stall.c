/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits how long a client waits for the secondary: a thread watches the
 * waiting requests and gives up a secondary that keeps one waiting too long.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "base/thread.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* How often the thread looks: every eighth of the limit, but within these
 * bounds.
 */
#define FASTEST_LOOK (10 * NS_PER_MS)
#define SLOWEST_LOOK (500 * NS_PER_MS)

void
mirror_use_begin (struct mirror_uses *uses, struct mirror_use *use)
{
  atomic_init (&use->since, 0);
  use->blocked = false;
  use->prev = NULL;
  use->next = uses->first;
  if (use->next)
    use->next->prev = use;
  uses->first = use;
}

void
mirror_use_end (struct mirror_uses *uses, struct mirror_use *use)
{
  if (use->prev)
    use->prev->next = use->next;
  else
    uses->first = use->next;
  if (use->next)
    use->next->prev = use->prev;
}

void
mirror_lock_range (struct mirror *m, struct range *range, uint64_t offset,
                   uint64_t count)
{
  struct mirror_use use;

  if (ranges_try_lock (&m->ranges, range, offset, count, RANGE_EXCLUSIVE))
    return;
  mutex_lock (&m->lock);
  mirror_use_begin (&m->client_uses, &use);
  use.blocked = true;
  mirror_waits (&use);
  mutex_unlock (&m->lock);
  ranges_lock (&m->ranges, range, offset, count, RANGE_EXCLUSIVE);
  mutex_lock (&m->lock);
  mirror_use_end (&m->client_uses, &use);
  mutex_unlock (&m->lock);
}

/* How long has this use been waiting, in ns? */
static int64_t
waited (const struct mirror_use *use, int64_t now)
{
  int64_t since = atomic_load (&use->since);

  return since ? now - since : 0;
}

/* Has a thread that may hold a range waited for the secondary for this long? */
static bool
somebody_waits (const struct mirror *m, int64_t now, int64_t time)
  REQUIRES (&m->lock)
{
  const struct mirror_use *use;

  for (use = m->job_uses.first; use; use = use->next)
    if (waited (use, now) >= time)
      return true;
  for (use = m->client_uses.first; use; use = use->next)
    if (!use->blocked && waited (use, now) >= time)
      return true;
  return false;
}

/* Has a client waited too long?  A client that waits for its range may be kept
 * from it by the primary, which is not the secondary's fault.
 */
static bool
is_stalled (const struct mirror *m) REQUIRES (&m->lock)
{
  int64_t now = clock_now ();
  const struct mirror_use *use;

  for (use = m->client_uses.first; use; use = use->next)
    if (waited (use, now) >= m->o.max_stall &&
        (!use->blocked || somebody_waits (m, now, m->o.max_stall / 2)))
      return true;
  return false;
}

static void *
watch (void *opaque)
{
  struct mirror *m = opaque;
  int64_t look = m->o.max_stall / 8;

  if (look < FASTEST_LOOK)
    look = FASTEST_LOOK;
  if (look > SLOWEST_LOOK)
    look = SLOWEST_LOOK;
  mutex_lock (&m->lock);
  while (!m->quit) {
    mirror_wait (m, &m->stall_wake, clock_now () + look);
    /* Give up once: requests that still wait after that end with the
     * connections.
     */
    if (m->quit || !m->connected || !is_stalled (m))
      continue;
    mirror_lose (m, ETIMEDOUT, "a client's request waited for it for longer "
                 "than mnbd-max-stall allows");
    mutex_unlock (&m->lock);
    if (m->o.instance->abandon)
      m->o.instance->abandon (m->o.instance);
    mutex_lock (&m->lock);
  }
  mutex_unlock (&m->lock);
  return NULL;
}

int
mirror_stall_start (struct mirror *m)
{
  int err;

  if (m->o.max_stall == 0)
    return 0;
  err = thread_start (&m->stall_thread, "mblock-stall", watch, m);
  m->stall_started = err == 0;
  return err;
}

void
mirror_stall_end (struct mirror *m)
{
  if (m->stall_started)
    pthread_join (m->stall_thread, NULL);
  m->stall_started = false;
}
