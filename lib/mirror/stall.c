/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits how long a client's request waits for the secondary, in all: a thread
 * watches the requests, and gives up a secondary that keeps one waiting too
 * long.
 *
 * A request waits for the secondary itself, any number of times, and it waits
 * for its range of bytes, which somebody holds who waits for the secondary.
 * Many short waits are as bad as a long one, so they are added up for each use.
 * A use that waits for its range is charged with what the holders wait
 * meanwhile, and not with what they wait for the primary.  The range lock
 * serves in the order of arrival, so a use also waits for those before it that
 * wait themselves: what these are charged with is passed on to it.
 *
 * This may be too much if several holders wait at the same time, but never more
 * than the time for which the use was blocked.  Charging takes place when a use
 * ends, and whenever the thread looks.
 *
 * A request at the gate waits for a switch, which waits for the requests that
 * were let in, and then for the secondary.  So it is charged with what they and
 * the switch wait for the secondary.  If the switch fails, the request goes on,
 * and so does its sum.
 *
 * A loss of the secondary ends the count (incarnation).
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

/* A flush and a switch hold no range, but those at the gate wait for them
 * (mirror_use_block_all).  So their range is a byte that no disk has.
 */
#define NO_BYTES (UINT64_MAX - 1)

void
mirror_use_init (struct mirror_use *use, enum use_of of)
{
  atomic_init (&use->since, 0);
  atomic_init (&use->waited, 0);
  use->of = of;
  use->blocked = use->at_gate = false;
  use->from = NO_BYTES;
  use->end = UINT64_MAX;
  use->begun = use->charged = use->before = use->passed_on = 0;
  use->incarnation = 0;
}

/* What it was charged with in an earlier incarnation does not count. */
static void
forget_earlier (const struct mirror *m, struct mirror_use *use)
  REQUIRES (&m->lock)
{
  if (use->incarnation != m->incarnation)
    use->charged = use->before = 0;
  use->incarnation = m->incarnation;
}

static void
add (struct mirror *m, struct mirror_use *use) REQUIRES (&m->lock)
{
  struct mirror_uses *uses = &m->uses;

  forget_earlier (m, use);
  use->next = NULL;
  use->prev = uses->last;
  if (use->prev)
    use->prev->next = use;
  else
    uses->first = use;
  uses->last = use;
}

static void
take_away (struct mirror *m, struct mirror_use *use) REQUIRES (&m->lock)
{
  if (use->prev)
    use->prev->next = use->next;
  else
    m->uses.first = use->next;
  if (use->next)
    use->next->prev = use->prev;
  else
    m->uses.last = use->prev;
}

/* How long it has waited by itself. */
static int64_t
own_waits (const struct mirror_use *use, int64_t now)
{
  /* In this order: a wait that ends meanwhile counts once or not at all. */
  int64_t waited = atomic_load_explicit (&use->waited, memory_order_acquire);
  int64_t since = atomic_load_explicit (&use->since, memory_order_relaxed);

  return since && now > since ? waited + now - since : waited;
}

/* Charge those that wait for this use, directly or behind others. */
static void
charge_others (struct mirror *m, const struct mirror_use *use, int64_t time,
               int64_t now) REQUIRES (&m->lock)
{
  uint64_t from = use->from, end = use->end;
  struct mirror_use *u;

  for (u = m->uses.first; u; u = u->next) {
    if (!u->blocked || u->from >= end || from >= u->end)
      continue;
    forget_earlier (m, u);
    u->charged += time;
    if (u->charged > u->before + now - u->begun)
      u->charged = u->before + now - u->begun;
    if (u->at_gate)
      continue;
    if (u->from < from)
      from = u->from;
    if (u->end > end)
      end = u->end;
  }
}

static void
pass_on (struct mirror *m, struct mirror_use *use, int64_t now)
  REQUIRES (&m->lock)
{
  int64_t time = own_waits (use, now) - use->passed_on;

  if (time <= 0)
    return;
  use->passed_on += time;
  if (m->uses.blocked && use->incarnation == m->incarnation)
    charge_others (m, use, time, now);
}

static void
pass_on_all (struct mirror *m, int64_t now) REQUIRES (&m->lock)
{
  struct mirror_use *use;

  for (use = m->uses.first; use; use = use->next)
    if (!use->blocked)
      pass_on (m, use, now);
}

void
mirror_use_begin (struct mirror *m, struct mirror_use *use)
{
  add (m, use);
}

void
mirror_use_end (struct mirror *m, struct mirror_use *use)
{
  if (m->uses.blocked)
    pass_on (m, use, clock_now ());
  take_away (m, use);
}

/* From here on it waits for its range, or at the gate. */
static void
block (struct mirror *m, struct mirror_use *use) REQUIRES (&m->lock)
{
  int64_t now = clock_now ();

  pass_on_all (m, now);
  add (m, use);
  use->begun = now;
  use->before = use->charged;
  use->blocked = true;
  m->uses.blocked++;
}

void
mirror_use_unblock (struct mirror *m, struct mirror_use *use)
{
  m->uses.blocked--;
  take_away (m, use);
  use->blocked = false;
  if (use->at_gate)
    use->from = NO_BYTES;
  use->at_gate = false;
}

void
mirror_use_block_all (struct mirror *m, struct mirror_use *use)
{
  use->from = 0;
  use->end = UINT64_MAX;
  use->at_gate = true;
  block (m, use);
}

void
mirror_lock_range (struct mirror *m, struct mirror_use *use,
                   struct range *range, uint64_t offset, uint64_t count,
                   enum range_mode mode)
{
  use->from = offset;
  use->end = count > NO_BYTES - offset ? NO_BYTES : offset + count;
  if (ranges_try_lock (&m->ranges, range, offset, count, mode))
    return;
  mutex_lock (&m->lock);
  block (m, use);
  mutex_unlock (&m->lock);
  ranges_lock (&m->ranges, range, offset, count, mode);
  mutex_lock (&m->lock);
  mirror_use_unblock (m, use);
  mutex_unlock (&m->lock);
}

/* Has a client waited too long, and does it still?  After the switch a request
 * that was held at the gate may not have noticed yet that it can go on.
 */
static bool
is_stalled (struct mirror *m) REQUIRES (&m->lock)
{
  const struct mirror_use *use;
  int64_t now = clock_now ();

  if (!m->connected || m->phase == PHASE_SWITCHED)
    return false;
  pass_on_all (m, now);
  for (use = m->uses.first; use; use = use->next)
    if (use->of == USE_OF_CLIENT && use->incarnation == m->incarnation &&
        (use->blocked || atomic_load (&use->since)) &&
        use->charged + own_waits (use, now) >= m->o.max_stall)
      return true;
  return false;
}

/* Give up once: requests that still wait after that end with the connections.
 * This thread counts among the users (Y7) until it has ended these, so that it
 * does not end the next ones.
 */
static void
give_up (struct mirror *m) REQUIRES (&m->lock)
{
  uint64_t incarnation;

  mirror_get (m, &incarnation);
  mirror_lose (m, ETIMEDOUT, "a client's request waited for it for longer "
               "than mnbd-max-stall allows");
  mutex_unlock (&m->lock);
  if (m->o.instance->abandon)
    m->o.instance->abandon (m->o.instance);
  mutex_lock (&m->lock);
  mirror_put (m, incarnation, 0, "give up");
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
    if (!m->quit && is_stalled (m))
      give_up (m);
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
