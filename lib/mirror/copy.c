/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror's copying: from dirty granules to clean ones. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/thread.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

/* -------------------------------------------------------------- extents */

static int
add_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct map *map = opaque;
  bool zero = type & BDEV_ZERO;
  struct map_extent *last = map->n ? &map->extent[map->n - 1] : NULL;

  if (offset >= map->end)
    return 0;
  length = bdev_extent_cut (offset, length, map->end);
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
mirror_map (struct bdev *b, uint64_t offset, uint64_t count, struct map *map)
{
  uint64_t end = offset + count;

  map->n = 0;
  map->end = end;
  if (!b->info.can_extents)
    return add_extent (map, offset, count, 0);
  while (offset < end) {
    /* Block status needs whole blocks, and the disk's end is a block boundary.
     */
    if (bdev_extents (b, least (end - offset, REGION), offset, 0, add_extent,
                      map) == -1)
      return -1;
    if (map->n == 0 || map->extent[map->n - 1].end <= offset) {
      errno = EIO;              /* no extents: this would never end */
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
  bool trial;                   /* the secondary is not proved (Y10) */
  char *buf;                    /* COPY_MOST bytes … */
  char *other;                  /* … and as many of the secondary */
  struct map region, now, theirs, piece;
  struct mirror_use use;
  pthread_t thread;
};

/* How much of a first copy is on trial, in bytes. */
#define TRIAL (UINT64_C (16) << 20)

/* The result of a window; errno says why. */
enum result { COPIED, PRIMARY_FAILED, SECONDARY_FAILED };

/* How long that many bytes take at the rate, in ns. */
static int64_t
time_for (const struct mirror *m, uint64_t bytes) REQUIRES (&m->lock)
{
  return m->rate ? (double) bytes / m->rate * NS_PER_S : 0;
}

/* Can nothing be sent any more? */
static bool
is_over (const struct mirror *m) REQUIRES (&m->lock)
{
  return m->quit || m->phase != PHASE_RUN || !m->connected;
}

bool
mirror_rate_wait (struct mirror *m, uint64_t bytes)
{
  int64_t now = clock_now (), until;
  unsigned seen;
  bool go_on;

  mutex_lock (&m->lock);
  if (m->rate) {
    /* Unused budget is lost, except for a moment's worth. */
    if (m->rate_next < now - 50 * NS_PER_MS)
      m->rate_next = now - 50 * NS_PER_MS;
    until = m->rate_next;
    m->rate_next += time_for (m, bytes);
    seen = m->rate_changes;
    while (!is_over (m) && m->rate_changes == seen && clock_now () < until)
      mirror_wait (m, &m->changed, until);
    /* They will not be sent: the next connection need not wait for them. */
    if (is_over (m) && m->rate_changes == seen)
      m->rate_next -= time_for (m, bytes);
  }
  go_on = !m->quit && m->phase == PHASE_RUN;
  mutex_unlock (&m->lock);
  return go_on;
}

void
mirror_rate_charge (struct mirror *m, uint64_t bytes)
{
  mutex_lock (&m->lock);
  m->rate_next += time_for (m, bytes);
  mutex_unlock (&m->lock);
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

/* Zero the bytes unless they read as zeros already. theirs: a map of the
 * secondary.
 */
static enum result
zero_piece (struct copier *c, const struct map *theirs, uint64_t offset,
            uint64_t end)
{
  struct mirror *m = c->m;

  if (offset == end || (theirs && mirror_map_zero (theirs, offset, end)))
    return COPIED;
  mirror_waits (&c->use);
  if (mirror_zero_secondary (m, end - offset, offset, BDEV_MAY_TRIM) == -1)
    return SECONDARY_FAILED;
  mirror_goes_on (&c->use);
  count (m, 0, end - offset);
  return COPIED;
}

static enum result
send (struct copier *c, const char *buf, uint32_t n, uint64_t offset)
{
  if (bdev_write (c->m->secondary, buf, n, offset, 0) == -1)
    return SECONDARY_FAILED;
  count (c->m, n, 0);
  return COPIED;
}

/* Read the secondary into c->other.  *zero: there is no need to, since it reads
 * as zeros.
 */
static enum result
read_theirs (struct copier *c, uint32_t n, uint64_t offset, bool *zero)
{
  struct mirror *m = c->m;
  bool ok = true;

  *zero = false;
  if (m->secondary->info.can_extents) {
    ok = mirror_map (m->secondary, offset, n, &c->piece) == 0;
    *zero = ok && mirror_map_zero (&c->piece, offset, offset + n);
  }
  if (ok && !*zero)
    ok = bdev_read (m->secondary, c->other, n, offset) == 0;
  return ok ? COPIED : SECONDARY_FAILED;
}

/* Send what is in c->buf, but only where the secondary has something else. */
static enum result
send_differences (struct copier *c, uint32_t n, uint64_t offset)
{
  struct mirror *m = c->m;
  uint32_t from, to = 0, sent = 0;
  bool zero;

  if (read_theirs (c, n, offset, &zero) != COPIED)
    return SECONDARY_FAILED;
  if (zero) {
    mirror_compared (m, n, 0);
    return send (c, c->buf, n, offset);
  }
  while (mirror_next_difference (m, c->buf, c->other, n, &from, &to)) {
    if (send (c, c->buf + from, to - from, offset + from) != COPIED)
      return SECONDARY_FAILED;
    sent += to - from;
  }
  mirror_compared (m, n, n - sent);
  return COPIED;
}

/* Send what is in c->buf. */
static enum result
send_piece (struct copier *c, uint32_t n, uint64_t offset)
{
  enum result r;

  mirror_waits (&c->use);
  r = mirror_compares (c->m) ? send_differences (c, n, offset)
    : send (c, c->buf, n, offset);
  if (r == COPIED)
    mirror_goes_on (&c->use);
  return r;
}

static enum result
copy_piece (struct copier *c, uint64_t offset, uint64_t end)
{
  struct mirror *m = c->m;

  while (offset < end) {
    uint32_t n = least (COPY_MOST, end - offset);

    if (bdev_read (m->primary, c->buf, n, offset) == -1)
      return PRIMARY_FAILED;
    if (!m->primary->info.can_extents && is_zero (c->buf, n)) {
      if (zero_piece (c, NULL, offset, offset + n) != COPIED)
        return SECONDARY_FAILED;
    }
    else if (send_piece (c, n, offset) != COPIED)
      return SECONDARY_FAILED;
    offset += n;
  }
  return COPIED;
}

/* Either the range is held, so that the extents stay true; or the secondary is
 * on trial, and what a client changes meanwhile is copied again.
 */
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
    mirror_waits (&c->use);
    if (mirror_map (m->secondary, offset, end - offset, &c->theirs) == -1)
      return SECONDARY_FAILED;
    mirror_goes_on (&c->use);
    theirs = &c->theirs;
  }
  for (i = 0; i < c->now.n && r == COPIED; i++) {
    const struct map_extent *e = &c->now.extent[i];
    uint64_t from = round_up (e->offset, block);
    uint64_t to = e->end == m->size ? e->end : round_down (e->end, block);

    /* Use only those of the secondary's blocks that are all zero. */
    if (!e->zero || from >= to)
      continue;
    r = copy_piece (c, offset, from);
    if (r == COPIED)
      r = zero_piece (c, theirs, from, to);
    /* They were sent as data. */
    if (r == COPIED && !m->secondary->info.can_zero &&
        !(theirs && mirror_map_zero (theirs, from, to)))
      mirror_rate_charge (m, to - from);
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

/* Take a sample of the rate now and then. */
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

/* Y5: the range of these whole granules is held, or the secondary is on trial
 * (Y10).  Only granules that were not touched become clean.
 */
static void
clean (struct mirror *m, uint64_t offset, uint64_t end) REQUIRES (&m->lock)
{
  uint64_t from = first_granule (m, offset), to = end_granule (m, end), g, next;
  uint64_t before = mirror_dirty_bytes (m);

  for (g = from; g < to; g = next + 1) {
    next = bitmap_next_set (&m->touched, g, to);
    bitmap_clear (&m->dirty, g, next);
  }
  before -= mirror_dirty_bytes (m);
  m->cleaned += before;
  m->ever_cleaned += before;
  bitmap_set (&m->unflushed, from, to);
  sample (m);
}

/* The job cannot continue: the operator must restart it. */
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

/* On trial the job holds no range, so nobody waits for it. */
static void
begin_use (struct mirror *m, struct copier *c) REQUIRES (m->lock)
{
  if (!c->trial)
    mirror_use_begin (m, &c->use);
}

static void
end_use (struct mirror *m, struct copier *c) REQUIRES (m->lock)
{
  if (!c->trial)
    mirror_use_end (m, &c->use);
}

/* Copy a window of whole granules.  Returns false to end the pass. */
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
  mirror_use_init (&c->use, USE_OF_JOB);
  if (!c->trial)
    mirror_lock_range (m, &c->use, &range, offset, end - offset, RANGE_SHARED);
  mutex_lock (&m->lock);
  here = m->phase == PHASE_RUN && !m->quit && mirror_get (m, &incarnation);
  if (here) {
    bitmap_clear (&m->touched, first_granule (m, offset), end_granule (m, end));
    begin_use (m, c);
  }
  mutex_unlock (&m->lock);
  if (here) {
    r = data == end - offset ? copy_piece (c, offset, end)
      : copy_by_extents (c, offset, end);
    err = errno;
    mutex_lock (&m->lock);
    end_use (m, c);
    good = mirror_put (m, incarnation, r == SECONDARY_FAILED ? err : 0,
                       "copy") && r == COPIED;
    if (good)
      clean (m, offset, end);
    mutex_unlock (&m->lock);
    if (r == PRIMARY_FAILED)
      give_up (m, offset, err);
  }
  if (!c->trial)
    ranges_unlock (&m->ranges, &range);
  return good;
}

/* Where the zeros that begin at offset end, in whole granules. */
static uint64_t
zeros_until (const struct copier *c, uint64_t offset, uint64_t end)
{
  const struct map_extent *e = find (&c->region, offset);

  if (!e->zero)
    return offset;
  return e->end >= end ? end : round_down (e->end, c->m->granule);
}

/* How much data there is to send: the rate limit counts only data. */
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

/* Where the whole granules from offset on end that one request sends; at least
 * one, which may be huge.
 */
static uint64_t
request_end (const struct mirror *m, uint64_t offset, uint64_t end)
{
  uint64_t to = round_down (offset + COPY_MOST, m->granule);

  return least (to > offset ? to : offset + m->granule, end);
}

/* A run of dirty granules.  Returns false to end the pass. */
static bool
copy_region (struct copier *c, uint64_t offset, uint64_t end)
{
  struct mirror *m = c->m;

  /* The map is not exact, because no range is held.  It only helps to choose
   * good windows.
   */
  if (mirror_map (m->primary, offset, end - offset, &c->region) == -1) {
    c->region.n = 0;
    c->region.end = end;
    if (add_extent (&c->region, offset, end - offset, 0) == -1)
      return false;
  }
  while (offset < end) {
    uint64_t to = zeros_until (c, offset, end);
    uint64_t most = request_end (m, offset, end), data = 0;

    if (to <= offset) {
      to = most;
      data = data_in (&c->region, offset, to);
    }
    else if (!m->secondary->info.can_zero)      /* they may be sent as data */
      to = least (to, most);
    if (!copy_window (c, offset, to, data))
      return false;
    offset = to;
  }
  return true;
}

/* The next run of dirty granules for a thread.  A first copy on trial takes
 * only the beginning of the disk, so that the rest is copied once, however much
 * clients write.
 */
static bool
claim (struct copier *c, uint64_t *offset, uint64_t *end)
{
  struct mirror *m = c->m;
  uint64_t region = REGION, from, to, most;
  bool r;

  mutex_lock (&m->lock);
  if (c->trial && m->full)
    region = TRIAL / COPY_THREADS;
  from = bitmap_next_set (&m->dirty, m->cursor, m->dirty.bits);
  most = least (m->dirty.bits, from + (region >> m->shift ? region >> m->shift
                                       : 1));
  to = bitmap_next_clear (&m->dirty, from, most);
  r = to > from && !(c->trial && m->full && m->claimed >= TRIAL);
  if (r) {
    m->cursor = to;
    m->claimed += (to - from) << m->shift;
  }
  mutex_unlock (&m->lock);
  *offset = granule_bytes (m, from);
  *end = granule_bytes (m, to);
  return r;
}

static void *
copier (void *opaque)
{
  struct copier *c = opaque;
  uint64_t offset, end;

  c->buf = malloc (COPY_MOST);
  c->other = malloc (COPY_MOST);
  if (c->buf == NULL || c->other == NULL)
    give_up (c->m, 0, errno);
  else
    while (claim (c, &offset, &end) && copy_region (c, offset, end))
      ;
  free (c->buf);
  free (c->other);
  mirror_map_free (&c->region);
  mirror_map_free (&c->now);
  mirror_map_free (&c->theirs);
  mirror_map_free (&c->piece);
  return NULL;
}

void
mirror_pass (struct mirror *m)
{
  struct copier c[COPY_THREADS];
  unsigned n, i;
  bool trial;

  memset (c, 0, sizeof c);
  mutex_lock (&m->lock);
  m->cursor = 0;
  sample (m);
  trial = !m->proved;
  /* One thread for each MiB, up to the limit. */
  n = least (COPY_THREADS, 1 + (mirror_dirty_bytes (m) >> 20));
  mutex_unlock (&m->lock);
  for (i = 0; i < n; i++) {
    c[i].m = m;
    c[i].trial = trial;
  }
  for (i = 1; i < n; i++)
    if (thread_start (&c[i].thread, "mblock-copy", copier, &c[i]))
      break;
  n = i;
  copier (&c[0]);
  for (i = 1; i < n; i++)
    pthread_join (c[i].thread, NULL);
}
