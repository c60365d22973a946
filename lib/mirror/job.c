/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's job: it reconnects to the secondary, starts the copying of what
 * is dirty, and looks after a synchronised mirror.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "base/size.h"
#include "base/uuid.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* The time between attempts to connect.  It is doubled after each attempt that
 * copied nothing.
 */
#define FIRST_BACKOFF (100 * NS_PER_MS)
#define LAST_BACKOFF (5 * NS_PER_S)

/* How often the job checks that the secondary is there: without writes, the
 * status may be wrong for this long.  And how often it flushes the secondary.
 */
#define PROBE_EVERY (250 * NS_PER_MS)
#define FLUSH_EVERY (5 * NS_PER_S)

/* How long the end waits for requests that still use the secondary. */
#define LAST_WAIT (10 * NS_PER_S)

/* A secondary on trial is proved after a pass that left at most this many
 * bytes, or after this many passes.
 */
#define CAUGHT_UP (UINT64_C (4) << 20)
#define MOST_TRIALS 4

/* How many granules are compared when the secondary returns. */
#define SAMPLES 64

/* State that only the job's thread uses. */
struct job {
  struct mirror *m;
  int64_t next_try, backoff;
  uint64_t cleaned;             /* m->ever_cleaned at the last attempt */
  int64_t next_flush;
  unsigned random;
  struct map our_map, their_map;
};

void
mirror_wait (struct mirror *m, pthread_cond_t *cond, int64_t until)
{
  cond_wait_until (cond, &m->lock, until);
}

bool
mirror_suits (struct mirror *m, char why[MIRROR_WHY])
{
  const struct bdev_info *i = &m->secondary->info;

  if (i->size != m->size)
    snprintf (why, MIRROR_WHY, "the secondary's size is %" PRIu64 " bytes, "
              "expected the primary's, %" PRIu64, i->size, m->size);
  else if (i->readonly)
    snprintf (why, MIRROR_WHY, "the secondary is read-only: expected a "
              "writable disk");
  else if (i->block_min > MIRROR_GRANULE)
    snprintf (why, MIRROR_WHY, "the secondary's minimum block size is %" PRIu32
              " bytes, expected at most %" PRIu64, i->block_min,
              MIRROR_GRANULE);
  else if (m->size % i->block_min)
    snprintf (why, MIRROR_WHY, "the size is %" PRIu64 " bytes, expected "
              "a multiple of the secondary's minimum block size, %" PRIu32,
              m->size, i->block_min);
  else
    return true;
  return false;
}

/* --------------------------------------------- is it the one that we lost? */

/* Is nobody waiting for the answer any more? */
static bool
has_stopped (struct mirror *m)
{
  bool r;

  mutex_lock (&m->lock);
  r = m->quit || m->phase != PHASE_RUN;
  mutex_unlock (&m->lock);
  return r;
}

/* Both maps are of the same range. */
static void
mark_lost (struct mirror *m, const struct map *ours, const struct map *theirs)
{
  const struct map_extent *e = ours->extent, *t = theirs->extent;

  while (e < ours->extent + ours->n && t < theirs->extent + theirs->n) {
    uint64_t from = e->offset > t->offset ? e->offset : t->offset;
    uint64_t to = least (e->end, t->end);

    if (!e->zero && t->zero && from < to) {
      mutex_lock (&m->lock);
      mirror_dirty (m, from, to - from);
      mutex_unlock (&m->lock);
    }
    if (e->end == to)
      e++;
    else
      t++;
  }
}

/* Ranges that the secondary reads as zeros where the primary has data are lost.
 * Returns 0; or -1 if the secondary fails, or the mirror was stopped.
 */
static int
check_holes (struct job *j)
{
  struct mirror *m = j->m;
  uint64_t offset, length;

  for (offset = 0; offset < m->size; offset += length) {
    length = least (REGION, m->size - offset);
    if (has_stopped (m) ||
        mirror_map (m->secondary, offset, length, &j->their_map) == -1)
      return -1;
    /* If it fails, the copying will find that out. */
    if (mirror_map (m->primary, offset, length, &j->our_map) == 0)
      mark_lost (m, &j->our_map, &j->their_map);
  }
  return 0;
}

/* Compare a clean granule.  Returns 1 if it differs, 0 if not, or -1 if the
 * secondary fails.
 */
static int
differs (struct job *j, uint64_t g)
{
  struct mirror *m = j->m;
  uint64_t offset = granule_bytes (m, g);
  uint32_t n = least (COPY_MOST, granule_bytes (m, g + 1) - offset);
  struct range range;
  bool clean;
  int r = 0;

  /* Only the job could change a clean granule of the secondary.  So read it
   * before the range is locked: clients need not wait for that read (Y10).
   */
  if (bdev_read (m->secondary, m->theirs, n, offset) == -1)
    return -1;
  ranges_lock (&m->ranges, &range, offset, n, RANGE_SHARED);
  mutex_lock (&m->lock);
  clean = !bitmap_any (&m->dirty, g, g + 1);
  mutex_unlock (&m->lock);
  if (clean && bdev_read (m->primary, m->ours, n, offset) == 0)
    r = memcmp (m->ours, m->theirs, n) != 0;
  ranges_unlock (&m->ranges, &range);
  return r;
}

/* Compare one sample of each part of the disk.  Returns 0; or -1 if the
 * secondary fails, or the mirror was stopped.
 */
static int
check_samples (struct job *j)
{
  struct mirror *m = j->m;
  uint64_t part = m->dirty.bits / SAMPLES + 1, from;

  for (from = 0; from < m->dirty.bits; from += part) {
    uint64_t to = least (from + part, m->dirty.bits);
    uint64_t g = from + rand_r (&j->random) % (to - from);
    int r;

    mutex_lock (&m->lock);
    g = bitmap_next_clear (&m->dirty, g, to);
    mutex_unlock (&m->lock);
    if (g == to)
      continue;
    r = has_stopped (m) ? -1 : differs (j, g);
    if (r == -1)
      return -1;
    if (r == 1) {
      mutex_lock (&m->lock);
      mirror_dirty (m, 0, m->size);
      mirror_failed (m, "the secondary is back with other data at %" PRIu64
                     ": copying everything again", granule_bytes (m, g));
      mutex_unlock (&m->lock);
      return 0;
    }
  }
  return 0;
}

/* ------------------------------------------------------------- connecting */

/* Make one attempt, without the lock.  Returns 0; or -1, and the failure was
 * logged.
 */
static int
attempt (struct job *j)
{
  struct mirror *m = j->m;
  char why[MIRROR_WHY];
  uint64_t before, after;
  bool all, other = false;

  if (bdev_connect (m->secondary) == -1) {
    int err = errno;

    mutex_lock (&m->lock);
    m->attached = false;
    pthread_cond_broadcast (&m->changed);
    /* The pool has logged this error.  The reason for the loss tells more. */
    if (*m->error == '\0')
      snprintf (m->error, sizeof m->error,
                "cannot connect to the secondary: %s", strerror (err));
    mutex_unlock (&m->lock);
    return -1;
  }
  mutex_lock (&m->lock);
  if (m->phase != PHASE_RUN) {
    mutex_unlock (&m->lock);
    return -1;                  /* it was stopped, or has failed, meanwhile */
  }
  before = mirror_dirty_bytes (m);
  all = m->dirty.set == m->dirty.bits;
  mutex_unlock (&m->lock);

  if (!mirror_suits (m, why)) {
    mutex_lock (&m->lock);
    if (strcmp (m->error, why) != 0) /* say it once */
      mirror_failed (m, "%s", why);
    mutex_unlock (&m->lock);
    return -1;
  }
  if (uuid_is_set (&m->secondary->info.uuid)) {
    other = uuid_differ (&m->uuid, &m->secondary->info.uuid);
    m->uuid = m->secondary->info.uuid;
  }
  if (all)
    return 0;
  if (other) {
    mutex_lock (&m->lock);
    mirror_dirty (m, 0, m->size);
    mirror_failed (m, "the secondary is another disk, with another UUID: "
                   "copying everything again");
    mutex_unlock (&m->lock);
    return 0;
  }
  if ((m->secondary->info.can_extents && check_holes (j) == -1) ||
      check_samples (j) == -1)
    return -1;
  mutex_lock (&m->lock);
  after = mirror_dirty_bytes (m);
  mutex_unlock (&m->lock);
  if (after > before)
    mirror_say (m, ENGINE_NOTE, "the secondary is back, without %" PRIu64
                " bytes that it had before", after - before);
  return 0;
}

static void
reconnect (struct mirror *m, struct job *j) REQUIRES (&m->lock)
{
  int r;

  m->attached = true;
  mutex_unlock (&m->lock);
  r = attempt (j);
  mutex_lock (&m->lock);
  if (r == 0 && m->phase == PHASE_RUN && !m->quit) {
    uint32_t block = m->secondary->info.block_min;

    if (block > atomic_load_explicit (&m->align, memory_order_relaxed))
      atomic_store_explicit (&m->align, block, memory_order_relaxed);
    m->connected = true;
    m->starting = false;
    /* With fail, no write may go to one side only, so clients wait for the
     * secondary from the start.
     */
    m->proved = m->o.fail;
    m->passes = 0;
    m->claimed = 0;
    mirror_say (m, ENGINE_NOTE, "connected, with %" PRIu64 " bytes out of "
                "sync", mirror_dirty_bytes (m));
  }
  j->backoff = m->ever_cleaned > j->cleaned ? FIRST_BACKOFF
    : least (j->backoff * 2, LAST_BACKOFF);
  j->cleaned = m->ever_cleaned;
  j->next_try = clock_now () + j->backoff;
}

/* Disconnect from a secondary that was lost, or that the mirror no longer uses
 * because it was stopped.
 */
static void
leave (struct mirror *m) REQUIRES (&m->lock)
{
  mutex_unlock (&m->lock);
  bdev_disconnect (m->secondary);
  mutex_lock (&m->lock);
  m->attached = false;
  pthread_cond_broadcast (&m->changed);
}

/* ----------------------------------------------------------- the job */

static void
pass (struct mirror *m) REQUIRES (&m->lock)
{
  char size[SIZE_STRING];

  mirror_say (m, ENGINE_NOTE, "%s %s", m->full ? "copying" : "resyncing",
              size_format (mirror_dirty_bytes (m), size));
  mutex_unlock (&m->lock);
  mirror_pass (m);
  mutex_lock (&m->lock);
}

static int
flush (struct mirror *m) REQUIRES (&m->lock)
{
  uint64_t incarnation = m->incarnation;
  int r;

  mutex_unlock (&m->lock);
  r = mirror_flush_secondary (m, incarnation);
  mutex_lock (&m->lock);
  return r;
}

/* The secondary is on trial (Y10).  With clients at work some granules may
 * always be dirty.  So after some passes clients themselves wait for what is
 * left.
 */
static void
prove (struct mirror *m) REQUIRES (&m->lock)
{
  if (m->dirty.set)
    pass (m);
  m->passes++;
  if (!m->connected || m->phase != PHASE_RUN || m->quit)
    return;
  if (flush (m) == -1 || !m->connected || m->phase != PHASE_RUN)
    return;
  if (m->full || m->passes >= MOST_TRIALS ||
      mirror_dirty_bytes (m) <= CAUGHT_UP) {
    m->proved = true;
    bitmap_clear_all (&m->touched);
  }
}

static void
synchronise (struct mirror *m, struct job *j) REQUIRES (&m->lock)
{
  if (!m->proved) {
    prove (m);
    return;
  }
  if (m->dirty.set) {
    pass (m);
    return;
  }
  if (flush (m) == 0 && m->connected && m->dirty.set == 0) {
    m->synced = true;           /* Y6 */
    m->full = false;
    j->backoff = FIRST_BACKOFF;
    mirror_say (m, ENGINE_NOTE, "synchronised, %" PRIu64 " bytes were sent",
                m->sent);
    pthread_cond_broadcast (&m->changed);
  }
}

/* Synchronised or failed: is the secondary still there? */
static void
look_after (struct mirror *m, struct job *j) REQUIRES (&m->lock)
{
  int64_t now = clock_now ();
  uint64_t incarnation;
  int err = 0;

  if (m->unflushed.set && now >= j->next_flush) {
    j->next_flush = now + FLUSH_EVERY;
    flush (m);
    return;
  }
  if (m->size == 0 || !mirror_get (m, &incarnation))
    return;
  mutex_unlock (&m->lock);
  if (bdev_read (m->secondary, m->theirs, m->secondary->info.block_min,
                 0) == -1)
    err = errno;
  mutex_lock (&m->lock);
  mirror_put (m, incarnation, err, "a test read");
}

static void
finish (struct mirror *m) REQUIRES (&m->lock)
{
  int64_t until = clock_now () + LAST_WAIT;

  if (m->phase == PHASE_SWITCHED) {
    /* Its owner disconnects it, after the last client. */
    mirror_last_flush (m);
    return;
  }
  if (m->connected && m->unflushed.set)
    flush (m);
  m->connected = m->proved = false;
  m->incarnation++;
  while (m->users && clock_now () < until)
    mirror_wait (m, &m->changed, until);
  if (m->attached && m->users == 0)
    leave (m);
}

void *
mirror_job (void *opaque)
{
  struct mirror *m = opaque;
  struct job j = { .m = m, .backoff = FIRST_BACKOFF, .random = clock_now () };

  mutex_lock (&m->lock);
  while (!m->quit) {
    if (m->phase == PHASE_SWITCHED)
      mirror_keep_secondary (m);
    else if (m->attached && !m->connected) {
      if (m->users)
        mirror_wait (m, &m->job_wake, NEVER); /* Y7 */
      else
        leave (m);
    }
    else if (m->phase == PHASE_STOPPED ||
             (m->phase == PHASE_FAILED && !m->connected))
      mirror_wait (m, &m->job_wake, NEVER);
    else if (!m->connected) {
      if (clock_now () >= j.next_try)
        reconnect (m, &j);
      else
        mirror_wait (m, &m->job_wake, j.next_try);
    }
    else if (m->phase == PHASE_RUN && (m->dirty.set || !m->synced))
      synchronise (m, &j);
    else {
      mirror_wait (m, &m->job_wake, clock_now () + PROBE_EVERY);
      if (m->connected && !m->quit && !m->switching)
        look_after (m, &j);
    }
  }
  finish (m);
  mutex_unlock (&m->lock);
  mirror_map_free (&j.our_map);
  mirror_map_free (&j.their_map);
  return NULL;
}
