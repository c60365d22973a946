/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's copying: from dirty granules to clean ones. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror.h"
#include "mirror-private.h"
#include "size.h"

/* -------------------------------------------------------------- extents */

static int
add_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct map *map = opaque;
  bool zero = type & SIDE_ZERO;
  struct map_extent *last = map->n ? &map->extent[map->n - 1] : NULL;

  if (last && last->zero == zero) {
    last->end = offset + length;
    return 0;
  }
  if (map->n == map->room) {
    size_t room = map->room ? map->room * 2 : 16;
    void *p = reallocarray (map->extent, room, sizeof *map->extent);

    if (p == NULL)
      return -1;
    map->extent = p;
    map->room = room;
  }
  map->extent[map->n++] = (struct map_extent) { offset, offset + length,
                                                zero };
  return 0;
}

int
mirror_map (struct side *s, uint64_t offset, uint64_t count, struct map *map)
{
  uint64_t end = offset + count;

  map->n = 0;
  if (!s->info.can_extents)
    return add_extent (map, offset, count, 0);
  while (offset < end) {
    /* Block status wants whole blocks, which the end of the disk is. */
    if (side_extents (s, least (end - offset, REGION), offset, 0, add_extent,
                      map) == -1)
      return -1;
    if (map->n == 0 || map->extent[map->n - 1].end <= offset) {
      errno = EIO;              /* no extents: it would go on for ever */
      return -1;
    }
    offset = map->extent[map->n - 1].end;
  }
  return 0;
}

void
mirror_map_free (struct map *map)
{
  free (map->extent);
  memset (map, 0, sizeof *map);
}

/* The extent in which offset lies. */
static const struct map_extent *
find (const struct map *map, uint64_t offset)
{
  size_t low = 0, high = map->n;

  while (high - low > 1) {
    size_t mid = (low + high) / 2;

    if (map->extent[mid].offset <= offset)
      low = mid;
    else
      high = mid;
  }
  return &map->extent[low];
}

bool
mirror_map_zero (const struct map *map, uint64_t offset, uint64_t end)
{
  const struct map_extent *e = find (map, offset);

  /* Neighbours are merged: it is one extent or not all zero. */
  return e->zero && e->end >= end;
}

/* ----------------------------------------------------------- the copiers */

/* A thread of a pass. */
struct copier {
  struct mirror *m;
  char *buf;                    /* COPY_MOST bytes */
  struct map region, now, theirs;
  pthread_t thread;
};

/* What became of a window; errno says why. */
enum result { COPIED, PRIMARY_FAILED, SECONDARY_FAILED };

bool
mirror_rate_wait (struct mirror *m, uint64_t bytes)
{
  int64_t now = clock_now (), until;
  bool go_on;

  mutex_lock (&m->lock);
  if (m->o.rate) {
    /* What was not used is lost, but for a moment's worth. */
    if (m->rate_next < now - 50 * NS_PER_MS)
      m->rate_next = now - 50 * NS_PER_MS;
    until = m->rate_next;
    m->rate_next += (double) bytes / m->o.rate * NS_PER_S;
    while (!m->quit && m->phase == PHASE_RUN && clock_now () < until)
      mirror_wait (m, &m->changed, until);
  }
  go_on = !m->quit && m->phase == PHASE_RUN;
  mutex_unlock (&m->lock);
  return go_on;
}

static bool
is_zero (const char *buf, size_t n)
{
  return n == 0 || (buf[0] == 0 && memcmp (buf, buf + 1, n - 1) == 0);
}

static void
count (struct mirror *m, uint64_t sent, uint64_t zeroed)
{
  mutex_lock (&m->lock);
  m->sent += sent;
  m->zeroed += zeroed;
  mutex_unlock (&m->lock);
}

/* Zero what does not read as zeros already; theirs is a map of it. */
static enum result
zero_piece (struct copier *c, const struct map *theirs, uint64_t offset,
            uint64_t end)
{
  struct mirror *m = c->m;

  if (offset == end || (theirs && mirror_map_zero (theirs, offset, end)))
    return COPIED;
  if (mirror_zero_secondary (m, end - offset, offset, SIDE_MAY_TRIM) == -1)
    return SECONDARY_FAILED;
  count (m, 0, end - offset);
  return COPIED;
}

static enum result
copy_piece (struct copier *c, uint64_t offset, uint64_t end)
{
  struct mirror *m = c->m;

  while (offset < end) {
    uint32_t n = least (COPY_MOST, end - offset);

    if (side_read (m->primary, c->buf, n, offset) == -1)
      return PRIMARY_FAILED;
    if (!m->primary->info.can_extents && is_zero (c->buf, n)) {
      if (zero_piece (c, NULL, offset, offset + n) != COPIED)
        return SECONDARY_FAILED;
    }
    else {
      if (side_write (m->secondary, c->buf, n, offset, 0) == -1)
        return SECONDARY_FAILED;
      count (m, n, 0);
    }
    offset += n;
  }
  return COPIED;
}

/* With the range held, so that what the extents say stays true. */
static enum result
copy_by_extents (struct copier *c, uint64_t offset, uint64_t end)
{
  struct mirror *m = c->m;
  uint64_t block = m->secondary->info.block_min;
  const struct map *theirs = NULL;
  enum result r = COPIED;
  size_t i;

  if (mirror_map (m->primary, offset, end - offset, &c->now) == -1)
    return PRIMARY_FAILED;
  if (m->secondary->info.can_extents) {
    if (mirror_map (m->secondary, offset, end - offset, &c->theirs) == -1)
      return SECONDARY_FAILED;
    theirs = &c->theirs;
  }
  for (i = 0; i < c->now.n && r == COPIED; i++) {
    const struct map_extent *e = &c->now.extent[i];
    uint64_t from = round_up (e->offset, block);
    uint64_t to = e->end == m->size ? e->end : round_down (e->end, block);

    /* Of the secondary's blocks, those that are all zero. */
    if (!e->zero || from >= to)
      continue;
    r = copy_piece (c, offset, from);
    if (r == COPIED)
      r = zero_piece (c, theirs, from, to);
    offset = to;
  }
  return r == COPIED ? copy_piece (c, offset, end) : r;
}

static void
log_progress (struct mirror *m) REQUIRES (&m->lock)
{
  char done[SIZE_STRING], total[SIZE_STRING], rate[SIZE_STRING];
  int64_t to_go;
  uint64_t now = mirror_rate (m, &to_go);
  uint64_t left = mirror_dirty_bytes (m);

  mirror_say (m, ENGINE_NOTE, "%s of %s done, %s/s, %" PRIi64 " s to go",
              size_format (m->cleaned, done),
              size_format (m->cleaned + left, total),
              size_format (now, rate), to_go);
}

/* A sample of the rate now and then. */
static void
sample (struct mirror *m) REQUIRES (&m->lock)
{
  int64_t now = clock_now ();

  if (m->nsamples &&
      now < m->sample[(m->nsamples - 1) % RATE_SAMPLES].time + RATE_EVERY)
    return;
  m->sample[m->nsamples++ % RATE_SAMPLES] = (struct rate_sample) {
    now, m->sent, m->cleaned
  };
  if (now >= m->next_log) {
    if (m->nsamples > 1)
      log_progress (m);
    m->next_log = now + LOG_EVERY;
  }
}

/* Y5: with the range of these whole granules held. */
static void
clean (struct mirror *m, uint64_t offset, uint64_t end) REQUIRES (&m->lock)
{
  uint64_t from = first_granule (m, offset), to = end_granule (m, end);
  uint64_t before = mirror_dirty_bytes (m);

  bitmap_clear (&m->dirty, from, to);
  before -= mirror_dirty_bytes (m);
  m->cleaned += before;
  m->ever_cleaned += before;
  bitmap_set (&m->unflushed, from, to);
  sample (m);
}

/* The job cannot go on: its operator must start it again. */
static void
give_up (struct mirror *m, uint64_t offset, int err)
{
  mutex_lock (&m->lock);
  if (m->phase == PHASE_RUN) {
    m->phase = PHASE_FAILED;
    mirror_failed (m, "the primary cannot be read at %" PRIu64 ": %s", offset,
                   strerror (err));
    pthread_cond_broadcast (&m->changed);
  }
  mutex_unlock (&m->lock);
}

/* Copy a window, of whole granules.  Returns false to end the pass. */
static bool
copy_window (struct copier *c, uint64_t offset, uint64_t end, uint64_t data)
{
  struct mirror *m = c->m;
  enum result r = COPIED;
  struct range range;
  uint64_t incarnation;
  bool here, good = false;
  int err;

  if (!mirror_rate_wait (m, data))
    return false;
  ranges_lock (&m->ranges, &range, offset, end - offset, RANGE_SHARED);
  mutex_lock (&m->lock);
  here = m->phase == PHASE_RUN && !m->quit && mirror_get (m, &incarnation);
  mutex_unlock (&m->lock);
  if (here) {
    r = data == end - offset ? copy_piece (c, offset, end)
      : copy_by_extents (c, offset, end);
    err = errno;
    mutex_lock (&m->lock);
    good = mirror_put (m, incarnation, r == SECONDARY_FAILED ? err : 0,
                       "copy") && r == COPIED;
    if (good)
      clean (m, offset, end);
    mutex_unlock (&m->lock);
    if (r == PRIMARY_FAILED)
      give_up (m, offset, err);
  }
  ranges_unlock (&m->ranges, &range);
  return good;
}

/* The end of the zeros from offset on, in whole granules. */
static uint64_t
zeros_until (const struct copier *c, uint64_t offset, uint64_t end)
{
  const struct map_extent *e = find (&c->region, offset);

  if (!e->zero)
    return offset;
  return e->end >= end ? end : round_down (e->end, c->m->granule);
}

/* How much data there is to send: what the rate is about. */
static uint64_t
data_in (const struct map *map, uint64_t offset, uint64_t end)
{
  const struct map_extent *e;
  uint64_t bytes = 0;

  for (e = find (map, offset);
       e < map->extent + map->n && e->offset < end; e++) {
    uint64_t from = e->offset > offset ? e->offset : offset;
    uint64_t to = least (e->end, end);

    if (!e->zero && from < to)
      bytes += to - from;
  }
  return bytes;
}

/* A run of dirty granules.  Returns false to end the pass. */
static bool
copy_region (struct copier *c, uint64_t offset, uint64_t end)
{
  struct mirror *m = c->m;

  /* Not exact, as no range is held: it is to find good windows. */
  if (mirror_map (m->primary, offset, end - offset, &c->region) == -1) {
    c->region.n = 0;
    if (add_extent (&c->region, offset, end - offset, 0) == -1)
      return false;
  }
  while (offset < end) {
    uint64_t to = zeros_until (c, offset, end);
    uint64_t data = 0;

    if (to <= offset) {
      to = least (round_down (offset + COPY_MOST, m->granule), end);
      if (to <= offset)         /* a huge granule */
        to = least (offset + m->granule, end);
      data = data_in (&c->region, offset, to);
    }
    if (!copy_window (c, offset, to, data))
      return false;
    offset = to;
  }
  return true;
}

/* The next run of dirty granules for a thread. */
static bool
claim (struct mirror *m, uint64_t *offset, uint64_t *end)
{
  uint64_t from, to, most;

  mutex_lock (&m->lock);
  from = bitmap_next_set (&m->dirty, m->cursor, m->dirty.bits);
  most = least (m->dirty.bits, from + (REGION >> m->shift ? REGION >> m->shift
                                       : 1));
  to = bitmap_next_clear (&m->dirty, from, most);
  m->cursor = to;
  mutex_unlock (&m->lock);
  *offset = granule_bytes (m, from);
  *end = granule_bytes (m, to);
  return to > from;
}

static void *
copier (void *opaque)
{
  struct copier *c = opaque;
  uint64_t offset, end;

  c->buf = malloc (COPY_MOST);
  if (c->buf == NULL)
    give_up (c->m, 0, errno);
  else
    while (claim (c->m, &offset, &end) && copy_region (c, offset, end))
      ;
  free (c->buf);
  mirror_map_free (&c->region);
  mirror_map_free (&c->now);
  mirror_map_free (&c->theirs);
  return NULL;
}

void
mirror_pass (struct mirror *m)
{
  struct copier c[COPY_THREADS];
  unsigned n, i;

  memset (c, 0, sizeof c);
  mutex_lock (&m->lock);
  m->cursor = 0;
  sample (m);
  /* A thread for each MiB, as long as there are any. */
  n = least (COPY_THREADS, 1 + (mirror_dirty_bytes (m) >> 20));
  mutex_unlock (&m->lock);
  for (i = 0; i < n; i++)
    c[i].m = m;
  for (i = 1; i < n; i++)
    if (pthread_create (&c[i].thread, NULL, copier, &c[i]))
      break;
  n = i;
  copier (&c[0]);
  for (i = 1; i < n; i++)
    pthread_join (c[i].thread, NULL);
}
