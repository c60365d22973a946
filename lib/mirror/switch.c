/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's switch-over: from the primary to the secondary, without a client
 * having to connect again.
 *
 *   mirror_switch
 *     1. hold the instance: no client comes.  Look up what the name means.
 *     2. give each client its own connection to the secondary
 *     3. close the gate; wait for the requests that are let in
 *     4. flush the secondary
 *     5. have the secondary's connections kept through outages
 *     6. open the gate, to the secondary; the primary is forsaken
 *
 * If a step from 1 to 5 fails, the gate opens to the primary again, and the
 * mirror is as it was.  Nothing can fail after 5.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* How long clients may be held while the requests in flight end.  If the
 * primary takes longer, clients must not be held for it.
 */
#define SWITCH_DRAIN_TIME (5 * NS_PER_S)

#define LOST_MEANWHILE                                                  \
  "the secondary was lost before the switch; clients use the primary"
#define NO_TIME_TO_SWITCH                                               \
  "the mirror has not switched: the server is shutting down"

/* ---------------------------------------------------------------- the gate */

/* The gate is closed, or a request ended while it was. */
static void
wake_switch (struct mirror *m)
{
  mutex_lock (&m->lock);
  pthread_cond_broadcast (&m->changed);
  mutex_unlock (&m->lock);
}

static void
wait_for_gate (struct mirror *m, struct mirror_use *use)
{
  mutex_lock (&m->lock);
  mirror_use_block_all (m, use);
  while (atomic_load (&m->gate) == GATE_CLOSED)
    pthread_cond_wait (&m->changed, &m->lock.m);
  mirror_use_unblock (m, use);
  mutex_unlock (&m->lock);
}

enum way
mirror_enter_slowly (struct mirror_client *c, struct mirror_use *use)
{
  struct mirror *m = c->m;

  mirror_use_init (use, USE_OF_CLIENT);
  for (;;) {
    switch (atomic_load (&m->gate)) {
    case GATE_SWITCHED:
      return WAY_SECONDARY;
    case GATE_ENDED:
      errno = ESHUTDOWN;
      return WAY_NONE;
    case GATE_CLOSED:
      wait_for_gate (m, use);
      break;
    default:
      /* Sequentially consistent, as in drain: either the switch sees that we
       * were let in, or we see that the gate is closed.
       */
      atomic_fetch_add (&c->active, 1);
      if (atomic_load (&m->gate) == GATE_OPEN)
        return WAY_BOTH;
      atomic_fetch_sub (&c->active, 1);
      wake_switch (m);
    }
  }
}

void
mirror_leave_slowly (struct mirror_client *c)
{
  int err = errno;

  wake_switch (c->m);
  errno = err;
}

/* ------------------------------------------------ requests, once switched */

int
mirror_after_write (struct mirror_client *c, const void *buf, uint32_t count,
                    uint64_t offset, uint32_t flags)
{
  struct bdev *b = c->after;
  bool flush = (flags & BDEV_FUA) && !b->info.can_fua;
  int r = bdev_write (b, buf, count, offset, flush ? 0 : flags);

  mirror_wrote (c->m);
  return r == 0 && flush ? mirror_after_flush (c) : r;
}

static int
write_zeros (struct bdev *b, uint64_t count, uint64_t offset)
{
  while (count) {
    uint32_t n = least (count, COPY_MOST);

    if (bdev_write (b, mirror_zeros, n, offset, 0) == -1)
      return -1;
    count -= n;
    offset += n;
  }
  return 0;
}

int
mirror_after_zero (struct mirror_client *c, uint32_t count, uint64_t offset,
                   uint32_t flags)
{
  struct bdev *b = c->after;
  bool native = b->info.can_zero;
  bool flush = (flags & BDEV_FUA) && !(native && b->info.can_fua);
  int r;

  if ((flags & BDEV_FAST_ZERO) && !(native && b->info.can_fast_zero)) {
    errno = ENOTSUP;
    return -1;
  }
  r = native ? bdev_zero (b, count, offset, flush ? flags & ~BDEV_FUA : flags)
    : write_zeros (b, count, offset);
  mirror_wrote (c->m);
  return r == 0 && flush ? mirror_after_flush (c) : r;
}

int
mirror_after_trim (struct mirror_client *c, uint32_t count, uint64_t offset,
                   uint32_t flags)
{
  struct bdev *b = c->after;
  bool flush = (flags & BDEV_FUA) && !b->info.can_fua;
  int r;

  /* As before the switch, with two sides. */
  if (!b->info.can_trim)
    return mirror_after_zero (c, count, offset, flags | BDEV_MAY_TRIM);
  r = bdev_trim (b, count, offset, flush ? 0 : flags);
  mirror_wrote (c->m);
  return r == 0 && flush ? mirror_after_flush (c) : r;
}

int
mirror_after_flush (struct mirror_client *c)
{
  return c->after->info.can_flush ? bdev_flush (c->after) : 0;
}

int
mirror_after_cache (struct mirror_client *c, uint32_t count, uint64_t offset)
{
  return c->after->info.can_cache ? bdev_cache (c->after, count, offset) : 0;
}

int
mirror_after_extents (struct mirror_client *c, uint64_t count, uint64_t offset,
                      uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  if (c->after->info.can_extents)
    return bdev_extents (c->after, count, offset, flags, fn, opaque);
  return fn (opaque, offset, count, 0);
}

/* ------------------------------------------------------------ the switch */

/* Can the secondary keep what clients were promised?  A feature that it lacks
 * is no obstacle if the functions above can emulate it.  Without flush they
 * cannot emulate FUA, and what the job has copied was sent without it.
 */
static bool
keeps_promises (const struct mirror *m, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  const struct bdev_info *p = &m->primary->info, *s = &m->secondary->info;

  if (s->block_min > p->block_min)
    snprintf (why, MIRROR_WHY, "the secondary's minimum block size is %" PRIu32
              " bytes, expected at most the primary's, %" PRIu32,
              s->block_min, p->block_min);
  else if ((p->can_flush || p->can_fua || m->sec_can_flush) && !s->can_flush)
    snprintf (why, MIRROR_WHY, "the secondary does not offer flush; expected "
              "it, because clients rely on flush or FUA");
  else
    return true;
  return false;
}

/* Does a client use a disk that was the primary before? */
static bool
has_stranger (const struct mirror *m) REQUIRES (&m->lock)
{
  const struct mirror_client *c;

  for (c = m->clients; c && c->local->info.disk == m->disk; c = c->next)
    ;
  return c;
}

/* With the lock held.  now: what the primary's name means. */
static bool
may_switch (struct mirror *m, enum instance_now now, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  if (m->switching) {
    snprintf (why, MIRROR_WHY, "another switch is under way");
    return false;
  }
  if (!mirror_may_stop (m, false, why))
    return false;
  if (m->o.instance->share == NULL || m->o.instance->ride_out == NULL)
    snprintf (why, MIRROR_WHY, "this secondary cannot be switched to");
  else if (now == INSTANCE_SHRUNK)
    snprintf (why, MIRROR_WHY, "the primary was made smaller, and the secondary "
              "still has what that has cut off");
  else if (now == INSTANCE_RESIZED)
    snprintf (why, MIRROR_WHY, "the primary's size has changed: expected the "
              "mirror's, %" PRIu64 " bytes", m->size);
  else if (has_stranger (m))
    snprintf (why, MIRROR_WHY, "clients still use another disk that had the "
              "primary's name: expected them to disconnect first");
  else if (m->verified.running)
    snprintf (why, MIRROR_WHY, "a comparison is running; expected it to have "
              "ended");
  else
    return keeps_promises (m, why);
  return false;
}

/* Give each client without a connection to the secondary one, or take them all
 * away again.
 */
static int
share_with_clients (struct mirror *m) REQUIRES (&m->lock)
{
  struct mirror_client *c;

  for (c = m->clients; c; c = c->next) {
    c->after = m->o.instance->share (m->o.instance);
    if (c->after == NULL)
      return -1;
  }
  return 0;
}

static void
take_shares_back (struct mirror *m) REQUIRES (&m->lock)
{
  struct mirror_client *c;

  for (c = m->clients; c; c = c->next) {
    bdev_close (c->after);
    c->after = NULL;
  }
}

/* How many requests were let in. */
static unsigned
active (const struct mirror *m) REQUIRES (&m->lock)
{
  const struct mirror_client *c;
  unsigned n = 0;

  for (c = m->clients; c; c = c->next)
    n += atomic_load (&c->active);
  return n;
}

/* The gate is closed: wait for the requests that were let in. */
static bool
drain (struct mirror *m, struct mirror_use *use, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  int64_t until = clock_now () + SWITCH_DRAIN_TIME;

  mirror_use_block_all (m, use);
  while (active (m) && m->connected && !m->quit && clock_now () < until)
    mirror_wait (m, &m->changed, until);
  mirror_use_unblock (m, use);
  if (m->quit)
    snprintf (why, MIRROR_WHY, NO_TIME_TO_SWITCH);
  else if (!m->connected)
    snprintf (why, MIRROR_WHY, LOST_MEANWHILE);
  else if (active (m))
    snprintf (why, MIRROR_WHY, "requests (%u) did not end within %d "
              "seconds; clients use the primary",
              active (m), (int) (SWITCH_DRAIN_TIME / NS_PER_S));
  else
    return true;
  return false;
}

/* All requests are drained and the secondary is flushed: switch now, or fail.
 */
static bool
commit (struct mirror *m, uint64_t incarnation, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  int64_t until = clock_now () + SWITCH_DRAIN_TIME;

  /* Only we may use the secondary, but the job may have begun a request before
   * it noticed the switch.
   */
  while (m->users > 1 && m->connected && !m->quit && clock_now () < until)
    mirror_wait (m, &m->changed, until);
  if (m->incarnation != incarnation || !m->connected) {
    snprintf (why, MIRROR_WHY, LOST_MEANWHILE);
    return false;
  }
  if (m->quit) {
    snprintf (why, MIRROR_WHY, NO_TIME_TO_SWITCH);
    return false;
  }
  if (m->users > 1) {
    snprintf (why, MIRROR_WHY, "the mirror's own requests did not end within "
              "%d seconds; clients use the primary",
              (int) (SWITCH_DRAIN_TIME / NS_PER_S));
    return false;
  }
  if (!mirror_may_stop (m, false, why))
    return false;
  if (m->o.instance->ride_out (m->o.instance) == -1) {
    snprintf (why, MIRROR_WHY, LOST_MEANWHILE);
    return false;
  }
  m->phase = PHASE_SWITCHED;
  return true;
}

static bool
flush_and_commit (struct mirror *m, uint64_t incarnation,
                  struct mirror_use *use, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  bool r;

  mirror_use_begin (m, use);
  mirror_waits (use);
  mutex_unlock (&m->lock);
  /* If the flush fails, the secondary is lost, and commit notices that. */
  mirror_flush_secondary (m, incarnation);
  mutex_lock (&m->lock);
  r = commit (m, incarnation, why);
  mirror_use_end (m, use);
  return r;
}

/* The gate is closed.  max_stall limits what this waits for the secondary, in
 * all, even if no client waits at the gate yet.
 */
static bool
drain_and_commit (struct mirror *m, uint64_t incarnation, char why[MIRROR_WHY])
  REQUIRES (&m->lock)
{
  struct mirror_use use;

  mirror_use_init (&use, USE_OF_CLIENT);
  return drain (m, &use, why) && flush_and_commit (m, incarnation, &use, why);
}

/* With the instance held, and m->switching. */
static int
switch_here (struct mirror *m, uint64_t incarnation, char why[MIRROR_WHY])
{
  int64_t begin = 0;
  bool switched;

  mutex_lock (&m->lock);
  if (share_with_clients (m) == -1) {
    snprintf (why, MIRROR_WHY, "%s", strerror (errno));
    switched = false;
  }
  else {
    begin = clock_now ();
    atomic_store (&m->gate, GATE_CLOSED);
    switched = drain_and_commit (m, incarnation, why);
  }
  if (switched) {
    m->switched.writes = m->writes;
    clock_gettime (CLOCK_REALTIME, &m->switched.time);
    bitmap_clear_all (&m->unflushed);
  }
  else
    take_shares_back (m);
  atomic_store (&m->gate, switched ? GATE_SWITCHED : GATE_OPEN);
  if (begin)
    m->switched.pause = clock_now () - begin;
  pthread_cond_broadcast (&m->changed);
  pthread_cond_broadcast (&m->job_wake);
  mutex_unlock (&m->lock);
  return switched ? 0 : -1;
}

int
mirror_switch (struct mirror *m, struct mirror_switched *switched,
               char why[MIRROR_WHY])
{
  enum instance_now now;
  uint64_t incarnation = 0, size;
  int r = -1;

  mirror_hold (m);
  now = mirror_look_held (m, &size);
  mutex_lock (&m->lock);
  if (may_switch (m, now, why) && mirror_get (m, &incarnation)) {
    m->switching = true;
    r = 0;
  }
  mutex_unlock (&m->lock);
  if (r == 0) {
    r = switch_here (m, incarnation, why);
    if (r == 0 && m->o.instance->forsake)
      m->o.instance->forsake (m->o.instance);
    mutex_lock (&m->lock);
    m->switching = false;
    mirror_put (m, incarnation, 0, "switch");
    *switched = m->switched;
    pthread_cond_broadcast (&m->job_wake);
    mutex_unlock (&m->lock);
  }
  mirror_release (m);
  if (r == 0)
    mirror_say (m, ENGINE_NOTE, "switched to the secondary, requests were held "
                "for %.3f ms", (double) switched->pause / NS_PER_MS);
  return r;
}

bool
mirror_is_switched (struct mirror *m)
{
  enum gate gate = atomic_load (&m->gate);

  return gate == GATE_SWITCHED || gate == GATE_ENDED;
}

/* ------------------------------------------------------------ afterwards */

/* For the idle job: flush clients' writes now and then, so that the replay log
 * need not keep all of them when they leave.
 */
void
mirror_keep_secondary (struct mirror *m)
{
  mirror_wait (m, &m->job_wake, clock_now () + SWITCHED_FLUSH_EVERY);
  if (m->quit || !atomic_exchange (&m->wrote, false))
    return;
  mutex_unlock (&m->lock);
  if (m->secondary->info.can_flush && bdev_flush (m->secondary) == -1)
    atomic_store (&m->wrote, true);
  mutex_lock (&m->lock);
}

void
mirror_last_flush (struct mirror *m)
{
  mutex_unlock (&m->lock);
  if (m->secondary->info.can_flush)
    bdev_flush (m->secondary);
  mutex_lock (&m->lock);
}
