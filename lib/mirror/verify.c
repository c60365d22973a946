/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's comparison of both sides, while clients write. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* The resolution of reported differences, in bytes. */
#define CELL 512

struct verifier {
  struct mirror *m;
  char *ours, *theirs;          /* COPY_MOST bytes each */
  struct map our_map, their_map;

  /* The differences in this window: the first extents. */
  uint64_t bytes;
  size_t nextents;
  struct mirror_extent extent[MIRROR_MOST_EXTENTS];
  struct mirror_use use;
};

/* Remember an extent, joined to the previous one if they are adjacent.  Returns
 * false if there is no room.
 */
static bool
add_extent (struct mirror_extent *extent, size_t *n, uint64_t offset,
            uint64_t length)
{
  struct mirror_extent *last = *n ? &extent[*n - 1] : NULL;

  if (last && last->offset + last->length == offset)
    last->length += length;
  else if (*n < MIRROR_MOST_EXTENTS)
    extent[(*n)++] = (struct mirror_extent) { offset, length };
  else
    return false;
  return true;
}

static void
compare (struct verifier *v, uint64_t offset, uint64_t n)
{
  uint64_t i, step;

  if (memcmp (v->ours, v->theirs, n) == 0)
    return;
  for (i = 0; i < n; i += step) {
    step = least (CELL, n - i);
    if (memcmp (v->ours + i, v->theirs + i, step) != 0) {
      v->bytes += step;
      add_extent (v->extent, &v->nextents, offset + i, step);
    }
  }
}

/* The window differs although it is in sync. */
static void
add_window (struct mirror *m, const struct verifier *v, uint64_t offset,
            uint64_t end) REQUIRES (&m->lock)
{
  struct mirror_verified *all = &m->verified;
  size_t i;

  all->bytes_differing += v->bytes;
  for (i = 0; i < v->nextents; i++)
    if (!add_extent (all->extent, &all->nextents, v->extent[i].offset,
                     v->extent[i].length))
      break;
  if (all->repair)
    mirror_dirty (m, offset, end - offset);
}

static int
map_secondary (struct verifier *v, uint64_t offset, uint64_t end)
{
  int r;

  mirror_waits (&v->use);
  r = mirror_map (v->m->secondary, offset, end - offset, &v->their_map);
  mirror_goes_on (&v->use);
  return r;
}

/* Do both sides report that the whole range reads as zeros? */
static bool
both_zero (struct verifier *v, uint64_t offset, uint64_t end)
{
  struct mirror *m = v->m;

  return m->primary->info.can_extents && m->secondary->info.can_extents &&
    mirror_map (m->primary, offset, end - offset, &v->our_map) == 0 &&
    mirror_map_zero (&v->our_map, offset, end) &&
    map_secondary (v, offset, end) == 0 &&
    mirror_map_zero (&v->their_map, offset, end);
}

enum result { COMPARED, PRIMARY_FAILED, SECONDARY_FAILED };

/* With the range held.  errno says why it failed. */
static enum result
compare_window (struct verifier *v, uint64_t offset, uint64_t end)
{
  struct mirror *m = v->m;
  bool charged = end - offset <= COPY_MOST;

  if (both_zero (v, offset, end))
    return COMPARED;
  while (offset < end) {
    uint32_t n = least (COPY_MOST, end - offset);

    if (bdev_read (m->primary, v->ours, n, offset) == -1)
      return PRIMARY_FAILED;
    mirror_waits (&v->use);
    if (bdev_read (m->secondary, v->theirs, n, offset) == -1)
      return SECONDARY_FAILED;
    mirror_goes_on (&v->use);
    compare (v, offset, n);
    if (!charged)               /* it seemed to be zeros */
      mirror_rate_charge (m, n);
    offset += n;
  }
  return COMPARED;
}

/* Compare a window of whole granules.  Skip it if it is out of sync or becomes
 * so.  Returns false to end the comparison.
 */
static bool
window (struct verifier *v, uint64_t offset, uint64_t end)
{
  struct mirror *m = v->m;
  enum result r = COMPARED;
  struct range range;
  uint64_t incarnation;
  bool here, dirty;
  int err;

  v->bytes = v->nextents = 0;
  if (!mirror_rate_wait (m, end - offset <= COPY_MOST ? end - offset : 0))
    return false;
  mirror_use_init (&v->use, USE_OF_JOB);
  mirror_lock_range (m, &v->use, &range, offset, end - offset, RANGE_SHARED);
  mutex_lock (&m->lock);
  here = m->phase == PHASE_RUN && !m->quit && mirror_get (m, &incarnation);
  /* On trial we must not wait for the secondary with a range held (Y10). */
  dirty = !m->proved || bitmap_any (&m->dirty, first_granule (m, offset),
                                    end_granule (m, end));
  mirror_use_begin (m, &v->use);
  mutex_unlock (&m->lock);

  if (here && !dirty)
    r = compare_window (v, offset, end);
  err = errno;
  mutex_lock (&m->lock);
  if (here) {
    /* A failed flush may drop what the secondary had (Y3).  So what we have
     * read is valid only if the secondary was not lost meanwhile.
     */
    mirror_waits (&v->use);
    while (v->bytes && m->flush_runs)
      mirror_wait (m, &m->changed, NEVER);
    if (!mirror_put (m, incarnation, r == SECONDARY_FAILED ? err : 0,
                     "comparing"))
      dirty = true;
    if (r == COMPARED)
      m->verified.bytes_done += end - offset;
    if (r == COMPARED && dirty)
      m->verified.bytes_skipped += end - offset;
    if (!dirty && v->bytes)
      add_window (m, v, offset, end);
  }
  mirror_use_end (m, &v->use);
  if (r != COMPARED)
    snprintf (m->verified.error, MIRROR_WHY, "the %s cannot be read at %"
              PRIu64 ": %s", r == PRIMARY_FAILED ? "primary" : "secondary",
              offset, strerror (err));
  mutex_unlock (&m->lock);
  ranges_unlock (&m->ranges, &range);
  return here && r == COMPARED;
}

static int
keep_first (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct map_extent *e = opaque;

  if (e->end == 0)
    *e = (struct map_extent) { offset, offset + length, type & BDEV_ZERO };
  return 0;
}

/* Where the next window ends: at the end of a run of zeros, as far as this hint
 * goes; otherwise after as much as one request reads.
 */
static uint64_t
window_end (const struct mirror *m, uint64_t offset)
{
  uint64_t most = least (REGION, m->size - offset);
  uint64_t end = least (granule_bytes (m, end_granule (m, offset + COPY_MOST)),
                        m->size);
  struct map_extent first = { 0 };

  if (!m->primary->info.can_extents ||
      bdev_extents (m->primary, most, offset, BDEV_REQ_ONE, keep_first,
                    &first) == -1 || !first.zero)
    return end;
  first.end = least (first.end, offset + most);
  if (first.end != m->size)
    first.end = round_down (first.end, m->granule);
  return first.end > end ? first.end : end;
}

/* Differing bytes are out of sync.  If they are not to be copied at once, the
 * mirror has failed: it must not report that it is synchronised.  A mirror that
 * was stopped meanwhile remembers them, too, for its resume.
 */
static void
tell_differences (struct mirror *m) REQUIRES (&m->lock)
{
  const struct mirror_verified *v = &m->verified;
  uint64_t known = 0;
  size_t i;

  mirror_failed (m, "%" PRIu64 " bytes differ, the first at %" PRIu64 "%s",
                 v->bytes_differing, v->extent[0].offset,
                 v->repair ? ": they are copied again" : "");
  if (v->repair)
    return;
  if (m->phase == PHASE_RUN)
    m->phase = PHASE_FAILED;
  for (i = 0; i < v->nextents; i++) {
    mirror_dirty (m, v->extent[i].offset, v->extent[i].length);
    known += v->extent[i].length;
  }
  if (known < v->bytes_differing)
    mirror_dirty (m, 0, m->size);
}

static void *
verifier (void *opaque)
{
  struct mirror *m = opaque;
  struct verifier v = { .m = m, .ours = malloc (COPY_MOST),
                        .theirs = malloc (COPY_MOST) };
  uint64_t offset = 0, end;

  while (v.ours && v.theirs && offset < m->size) {
    end = window_end (m, offset);
    if (!window (&v, offset, end))
      break;
    offset = end;
  }
  mutex_lock (&m->lock);
  if (offset < m->size && *m->verified.error == '\0')
    snprintf (m->verified.error, MIRROR_WHY, "%s",
              v.ours == NULL || v.theirs == NULL ? strerror (ENOMEM)
              : m->phase == PHASE_FAILED ? "the mirror has failed"
              : "the mirror was stopped, or lost its secondary");
  m->verified.running = false;
  if (m->verified.bytes_differing)
    tell_differences (m);
  pthread_cond_broadcast (&m->changed);
  mutex_unlock (&m->lock);
  free (v.ours);
  free (v.theirs);
  mirror_map_free (&v.our_map);
  mirror_map_free (&v.their_map);
  return NULL;
}

int
mirror_verify (struct mirror *m, bool repair, char why[MIRROR_WHY])
{
  uint64_t size;
  int r = -1;

  /* After the switch nobody opens the plugin's disk any more. */
  if (!mirror_is_switched (m))
    mirror_look (m, &size);
  mutex_lock (&m->lock);
  if (m->verified.running)
    snprintf (why, MIRROR_WHY, "a comparison is already running");
  else if (m->phase == PHASE_SWITCHED)
    snprintf (why, MIRROR_WHY, MIRROR_HAS_SWITCHED);
  else if (m->replaced)
    snprintf (why, MIRROR_WHY, MIRROR_REPLACED "; expected the one that is "
              "mirrored");
  else if (m->quit)
    snprintf (why, MIRROR_WHY, "the server is shutting down");
  else if (m->switching)
    snprintf (why, MIRROR_WHY, MIRROR_IS_SWITCHING);
  else if (m->phase != PHASE_RUN || !m->connected)
    snprintf (why, MIRROR_WHY, "the mirror is %s; expected synchronised, "
              "copying or resyncing", mirror_state_names[mirror_state (m)]);
  else {
    /* The last comparison has released the lock, or soon will. */
    if (m->verify_started)
      pthread_join (m->verify_thread, NULL);
    memset (&m->verified, 0, sizeof m->verified);
    m->verified.ever = m->verified.running = true;
    m->verified.repair = repair;
    m->verified.bytes_total = m->size;
    r = thread_start (&m->verify_thread, "mblock-verify", verifier, m);
    m->verify_started = m->verified.running = r == 0;
    if (r) {
      snprintf (why, MIRROR_WHY, "%s", strerror (r));
      r = -1;
    }
  }
  mutex_unlock (&m->lock);
  return r;
}

void
mirror_verified (struct mirror *m, struct mirror_verified *verified)
{
  mutex_lock (&m->lock);
  *verified = m->verified;
  mutex_unlock (&m->lock);
}
