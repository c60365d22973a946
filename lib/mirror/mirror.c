/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror as clients see it: changes to both sides; mirror.h has the design
 * and the invariants.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "base/thread.h"
#include "mirror/mirror-private.h"
#include "mirror/mirror.h"

const char mirror_zeros[COPY_MOST];

/* ----------------------------------------------------------- what is dirty */

uint64_t
mirror_dirty_bytes (const struct mirror *m)
{
  uint64_t bytes = m->dirty.set << m->shift;
  uint64_t tail = m->size & (m->granule - 1);

  /* The last granule may be shorter. */
  if (tail && bitmap_any (&m->dirty, m->dirty.bits - 1, m->dirty.bits))
    bytes -= m->granule - tail;
  return bytes;
}

/* Granules become dirty.  If none was dirty, a new resync begins. */
static void
begin_resync (struct mirror *m) REQUIRES (&m->lock)
{
  if (m->synced && m->dirty.set == 0) {
    m->cleaned = 0;
    m->nsamples = 0;
  }
  m->synced = false;
}

void
mirror_dirty (struct mirror *m, uint64_t offset, uint64_t count)
{
  bool was_clean = m->dirty.set == 0;
  uint64_t end = least (offset + count, m->size);

  /* A client may still use the size that the primary had before. */
  if (offset >= end)
    return;
  begin_resync (m);
  bitmap_set (&m->dirty, first_granule (m, offset), end_granule (m, end));
  if (was_clean)
    pthread_cond_signal (&m->job_wake);
}

void
mirror_failed (struct mirror *m, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (m->error, sizeof m->error, fmt, ap);
  va_end (ap);
  mirror_say (m, ENGINE_ERROR, "%s", m->error);
}

/* ---------------------------------------------------------- the secondary */

bool
mirror_get (struct mirror *m, uint64_t *incarnation)
{
  if (!m->connected)
    return false;
  m->users++;
  *incarnation = m->incarnation;
  return true;
}

void
mirror_lose (struct mirror *m, int error, const char *what)
{
  m->connected = m->proved = false;
  m->incarnation++;
  m->outages++;
  begin_resync (m);
  bitmap_or (&m->dirty, &m->unflushed);
  bitmap_or (&m->dirty, &m->flushing);
  bitmap_clear_all (&m->unflushed);
  bitmap_clear_all (&m->flushing);
  mirror_failed (m, "the secondary is lost: %s: %s", what,
                 error == ESHUTDOWN || error == ENOTCONN
                 ? "the connection has ended" : strerror (error));
  pthread_cond_broadcast (&m->changed);
  pthread_cond_signal (&m->job_wake);
}

bool
mirror_put (struct mirror *m, uint64_t incarnation, int error,
            const char *what)
{
  if (error && incarnation == m->incarnation)
    mirror_lose (m, error, what);
  if (--m->users == 0 && !m->connected) {
    pthread_cond_broadcast (&m->changed);
    pthread_cond_signal (&m->job_wake);
  }
  else if (m->switching)
    pthread_cond_broadcast (&m->changed);
  return error == 0 && incarnation == m->incarnation;
}

/* One flush serves all threads that were waiting before it began. */
int
mirror_flush_secondary (struct mirror *m, uint64_t incarnation)
{
  uint64_t ticket;
  int r = 0;

  mutex_lock (&m->lock);
  ticket = m->flushes_begun + 1;
  while (m->flushes_done < ticket) {
    uint64_t mine;
    int error = 0;

    if (!m->connected || m->incarnation != incarnation) {
      r = -1;
      break;
    }
    if (m->flush_runs) {
      pthread_cond_wait (&m->changed, &m->lock.m);
      continue;
    }
    m->flush_runs = true;
    mine = ++m->flushes_begun;
    bitmap_swap (&m->unflushed, &m->flushing);
    mirror_get (m, &incarnation);
    mutex_unlock (&m->lock);
    if (m->secondary->info.can_flush && bdev_flush (m->secondary) == -1)
      error = errno;
    mutex_lock (&m->lock);
    if (mirror_put (m, incarnation, error, "flush"))
      bitmap_clear_all (&m->flushing);
    m->flush_runs = false;
    m->flushes_done = mine;
    pthread_cond_broadcast (&m->changed);
  }
  /* The secondary may have been lost during another thread's flush. */
  if (m->incarnation != incarnation)
    r = -1;
  mutex_unlock (&m->lock);
  errno = EIO;
  return r;
}

int
mirror_zero_secondary (struct mirror *m, uint64_t count, uint64_t offset,
                       uint32_t flags)
{
  struct bdev *s = m->secondary;

  if (!s->info.can_fua)
    flags &= ~BDEV_FUA;
  while (count) {
    uint32_t n = least (count, s->info.can_zero ? REGION : COPY_MOST);
    int r = s->info.can_zero ? bdev_zero (s, n, offset, flags)
      : bdev_write (s, mirror_zeros, n, offset, flags & BDEV_FUA);

    if (r == -1)
      return -1;
    count -= n;
    offset += n;
  }
  return 0;
}

/* ---------------------------------------------------------------- changes */

/* A client's write or zero. */
struct change {
  const char *what;
  const char *buf;              /* NULL: zero */
  uint32_t count;
  uint64_t offset;
  uint32_t flags;

  struct range range;
  bool ours;                    /* the disk is the primary */
  bool both;                    /* goes to the secondary, too … */
  uint64_t incarnation;
  struct mirror_use use;
  bool behind;                  /* … or the job copies it (Y10) */
  bool incomplete;              /* what else it needs could not be read */
};

/* The job must copy this change. */
static void
leave_to_job (struct mirror *m, const struct change *c) REQUIRES (&m->lock)
{
  uint64_t end = least (c->offset + c->count, m->size);

  mirror_dirty (m, c->offset, c->count);
  if (c->behind && c->offset < end)
    bitmap_set (&m->touched, first_granule (m, c->offset),
                end_granule (m, end));
}

/* Must both disks have each change?  Not between mirror_start and the first
 * connection: until then all is on the primary only anyway.
 */
static bool
must_fail (const struct mirror *m) REQUIRES (&m->lock)
{
  return m->o.fail && m->phase != PHASE_STOPPED && !m->starting;
}

/* Take the range, wide enough for the secondary's blocks (Y4). */
static int
begin_change (struct mirror *m, const struct bdev *local, struct change *c)
{
  uint64_t end = c->offset + c->count;
  uint32_t align;
  int err = 0;

  for (;;) {
    uint64_t from;

    align = atomic_load_explicit (&m->align, memory_order_relaxed);
    from = round_down (c->offset, align);
    mirror_lock_range (m, &c->use, &c->range, from,
                       round_up (end, align) - from, RANGE_EXCLUSIVE);
    mutex_lock (&m->lock);
    /* align grows with the lock held, before the secondary is connected. */
    if (align == atomic_load_explicit (&m->align, memory_order_relaxed))
      break;
    mutex_unlock (&m->lock);
    ranges_unlock (&m->ranges, &c->range);
  }
  c->ours = local->info.disk == m->disk;
  if (m->quit)
    err = ESHUTDOWN;
  else if (!c->ours)
    m->in_flight++;
  else if (must_fail (m) && !m->connected)
    err = EIO;
  else {
    /* The primary refuses what lies beyond the end.  What is dirty as a whole
     * is left to the job, except with fail: then no change is acknowledged that
     * only one disk has.
     */
    c->both = m->proved && end <= m->size &&
      (m->o.fail || !bitmap_all (&m->dirty, first_granule (m, c->offset),
                                 end_granule (m, end)));
    /* It does not count among the users, so the secondary may be lost, come
     * back and be copied to before the primary has the change.
     */
    c->behind = !c->both;
    if (c->both && (c->flags & BDEV_FAST_ZERO) &&
        !m->secondary->info.can_fast_zero)
      err = ENOTSUP;
    else if (c->both) {
      mirror_get (m, &c->incarnation);
      mirror_use_begin (m, &c->use);
    }
    else
      leave_to_job (m, c);
    m->in_flight += err == 0;
  }
  mutex_unlock (&m->lock);
  if (err == 0)
    return 0;
  ranges_unlock (&m->ranges, &c->range);
  errno = err;
  return -1;
}

static int
change_primary (struct bdev *local, const struct change *c)
{
  return c->buf ? bdev_write (local, c->buf, c->count, c->offset, c->flags)
    : bdev_zero (local, c->count, c->offset, c->flags);
}

/* The change covers only a part of a block of the secondary.  The primary has
 * been changed already, so read the rest from there.  If that fails, it is not
 * the secondary's fault: the job copies the change, or finds out why it cannot.
 */
static int
copy_block (struct mirror *m, struct bdev *local, struct change *c,
            uint64_t offset, uint32_t flags)
{
  uint32_t count = least (m->secondary->info.block_min, m->size - offset);
  char *block = malloc (count);
  int r = 0;

  mirror_goes_on (&c->use);
  if (block == NULL || bdev_read (local, block, count, offset) == -1)
    c->incomplete = true;
  mirror_waits (&c->use);
  if (!c->incomplete)
    r = bdev_write (m->secondary, block, count, offset, flags & BDEV_FUA);
  free (block);
  return r;
}

/* Read it after the primary was changed. */
static int
change_secondary (struct mirror *m, struct bdev *local, struct change *c)
{
  struct bdev *s = m->secondary;
  uint64_t block = s->info.block_min, end = c->offset + c->count;
  uint64_t from = round_up (c->offset, block), to = round_down (end, block);
  uint32_t flags = c->flags & ~(s->info.can_fua ? 0 : BDEV_FUA);

  /* The primary was fast.  With fail, a slow secondary is waited for. */
  if (m->o.fail)
    flags &= ~BDEV_FAST_ZERO;
  if (end == m->size)
    to = end;
  if (from != c->offset &&
      copy_block (m, local, c, from - block, flags) == -1)
    return -1;
  if (to != end && to >= from && copy_block (m, local, c, to, flags) == -1)
    return -1;
  if (to > from) {
    if (c->buf ? bdev_write (s, c->buf + (from - c->offset), to - from, from,
                             flags)
        : mirror_zero_secondary (m, to - from, from, flags))
      return -1;
  }
  if ((c->flags & BDEV_FUA) && !s->info.can_fua)
    return mirror_flush_secondary (m, c->incarnation);
  return 0;
}

/* Can the change go to the secondary unmodified, at the same time as to the
 * primary?  A flush awaits writes with FUA that are under way (pool.h M8), and
 * would wait for a slow primary with them.
 */
static bool
fits_secondary (const struct mirror *m, const struct change *c)
{
  const struct bdev_info *i = &m->secondary->info;

  return c->buf && ((c->offset | c->count) & (i->block_min - 1)) == 0 &&
    !(c->flags & BDEV_FUA);
}

/* Change one side or both.  Errors are errno values; 0 means none. */
static void
change_sides (struct mirror *m, struct bdev *local, struct change *c,
              int *err, int *sec_err)
{
  if (c->both && fits_secondary (m, c)) {
    struct bdev_write w;

    /* The primary works at the same time as the secondary. */
    mirror_waits (&c->use);
    bdev_write_start (m->secondary, &w, c->buf, c->count, c->offset,
                      c->flags);
    mirror_goes_on (&c->use);
    if (change_primary (local, c) == -1)
      *err = errno;
    mirror_waits (&c->use);
    if (bdev_write_wait (m->secondary, &w) == -1)
      *sec_err = errno;
    return;
  }
  if (change_primary (local, c) == -1)
    *err = errno;
  else if (c->both) {
    mirror_waits (&c->use);
    if (change_secondary (m, local, c) == -1)
      *sec_err = errno;
  }
}

static int
make_change (struct mirror *m, struct bdev *local, struct change *c)
{
  bool not_fast, good = true, both;
  int err = 0, sec_err = 0;

  if (begin_change (m, local, c) == -1)
    return -1;
  both = c->both;
  change_sides (m, local, c, &err, &sec_err);
  mutex_lock (&m->lock);
  /* Not an error: either the primary has changed nothing, or the job copies to
   * the secondary later.
   */
  not_fast = (c->flags & BDEV_FAST_ZERO) &&
    (err ? err == ENOTSUP || err == EOPNOTSUPP
     : !m->o.fail && (sec_err == ENOTSUP || sec_err == EOPNOTSUPP));
  if (both) {
    mirror_use_end (m, &c->use);
    good = mirror_put (m, c->incarnation, not_fast ? 0 : sec_err, c->what);
    if (!good || c->incomplete || (err && !not_fast) ||
        (not_fast && sec_err))
      mirror_dirty (m, c->offset, c->count); /* Y2 */
    else if (!err)
      bitmap_set (&m->unflushed, first_granule (m, c->offset),
                  end_granule (m, c->offset + c->count)); /* Y3 */
  }
  else if (c->ours && c->behind)
    leave_to_job (m, c);        /* Y10 */
  m->in_flight--;
  m->writes += c->ours;
  mutex_unlock (&m->lock);
  ranges_unlock (&m->ranges, &c->range);

  if (err == 0 && (!good || c->incomplete) && m->o.fail)
    err = EIO;
  errno = err;
  return err ? -1 : 0;
}

/* ------------------------------------------------------- a client's bdev */

static struct mirror_client *
client_of (struct bdev *b)
{
  return (struct mirror_client *) b;
}

/* Until mirror_leave, a request goes to the primary and, if it changes
 * something, to the secondary; after the switch, to the secondary alone (Y9).
 */
static int
client_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  struct mirror_client *c = client_of (b);
  struct mirror_use use;
  enum way way = mirror_enter (c, &use);
  int r;

  if (way != WAY_BOTH)
    return way == WAY_NONE ? -1 : bdev_read (c->after, buf, count, offset);
  r = bdev_read (c->local, buf, count, offset);
  mirror_leave (c);
  return r;
}

/* A change that was let in the WAY_BOTH. */
static int
change_and_leave (struct mirror_client *c, struct change *change)
{
  int r = make_change (c->m, c->local, change);

  mirror_leave (c);
  return r;
}

static int
client_write (struct bdev *b, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct change change = { .what = "write", .buf = buf, .count = count,
                           .offset = offset, .flags = flags };
  struct mirror_client *c = client_of (b);
  enum way way = mirror_enter (c, &change.use);

  if (way == WAY_BOTH)
    return change_and_leave (c, &change);
  return way == WAY_NONE ? -1 : mirror_after_write (c, buf, count, offset,
                                                    flags);
}

static int
client_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct change change = { .what = "zero", .count = count, .offset = offset,
                           .flags = flags };
  struct mirror_client *c = client_of (b);
  enum way way = mirror_enter (c, &change.use);

  if (way == WAY_BOTH)
    return change_and_leave (c, &change);
  return way == WAY_NONE ? -1 : mirror_after_zero (c, count, offset, flags);
}

/* Each side may choose what a trimmed range reads as, but both must read the
 * same.
 */
static int
client_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct change change = { .what = "zero", .count = count, .offset = offset,
                           .flags = (flags & BDEV_FUA) | BDEV_MAY_TRIM };
  struct mirror_client *c = client_of (b);
  enum way way = mirror_enter (c, &change.use);

  if (way == WAY_BOTH)
    return change_and_leave (c, &change);
  return way == WAY_NONE ? -1 : mirror_after_trim (c, count, offset, flags);
}

static int
flush_sides (struct mirror *m, struct bdev *local, struct mirror_use *use)
{
  int r = 0, err = 0;
  bool ours, here, wanted;
  uint64_t incarnation;

  if (local->info.can_flush && bdev_flush (local) == -1)
    err = errno;
  mutex_lock (&m->lock);
  ours = local->info.disk == m->disk;
  here = ours && m->proved;
  wanted = ours && must_fail (m);
  incarnation = m->incarnation;
  if (m->quit && !err)
    err = ESHUTDOWN;
  if (here)
    mirror_use_begin (m, use);
  mutex_unlock (&m->lock);
  if (here) {
    mirror_waits (use);
    r = mirror_flush_secondary (m, incarnation);
    mutex_lock (&m->lock);
    mirror_use_end (m, use);
    mutex_unlock (&m->lock);
  }
  if (!err && wanted && (!here || r == -1))
    err = EIO;
  errno = err;
  return err ? -1 : 0;
}

static int
client_flush (struct bdev *b)
{
  struct mirror_client *c = client_of (b);
  struct mirror_use use;
  enum way way = mirror_enter (c, &use);
  int r;

  if (way != WAY_BOTH)
    return way == WAY_NONE ? -1 : mirror_after_flush (c);
  r = flush_sides (c->m, c->local, &use);
  mirror_leave (c);
  return r;
}

static int
client_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  struct mirror_client *c = client_of (b);
  struct mirror_use use;
  enum way way = mirror_enter (c, &use);
  int r;

  if (way != WAY_BOTH)
    return way == WAY_NONE ? -1 : mirror_after_cache (c, count, offset);
  r = bdev_cache (c->local, count, offset);
  mirror_leave (c);
  return r;
}

static int
client_extents (struct bdev *b, uint64_t count, uint64_t offset,
                uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct mirror_client *c = client_of (b);
  struct mirror_use use;
  enum way way = mirror_enter (c, &use);
  int r;

  if (way != WAY_BOTH)
    return way == WAY_NONE ? -1 : mirror_after_extents (c, count, offset,
                                                        flags, fn, opaque);
  r = bdev_extents (c->local, count, offset, flags, fn, opaque);
  mirror_leave (c);
  return r;
}

static void
client_close (struct bdev *b)
{
  struct mirror_client *c = client_of (b);
  struct mirror *m = c->m;

  mutex_lock (&m->lock);
  if (c->prev)
    c->prev->next = c->next;
  else
    m->clients = c->next;
  if (c->next)
    c->next->prev = c->prev;
  /* A switch that is under way may fail, and the secondary may then be dropped.
   */
  if (c->after && !mirror_is_switched (m)) {
    bdev_close (c->after);
    c->after = NULL;
  }
  mutex_unlock (&m->lock);
  bdev_close (c->after);
  free (c);
}

static const struct bdev_ops client_ops = {
  .read = client_read,
  .write = client_write,
  .zero = client_zero,
  .trim = client_trim,
  .flush = client_flush,
  .cache = client_cache,
  .extents = client_extents,
  .close = client_close,
};

/* Makes the bdev to the secondary for a client that comes after the switch. */
static int
begin_switched (struct mirror *m, struct mirror_client *c)
{
  c->local = NULL;
  c->after = m->o.instance->share (m->o.instance);
  if (c->after == NULL)
    return -1;
  c->bdev.info = c->after->info;
  c->bdev.info.can_fua |= c->bdev.info.can_flush;
  return 0;
}

struct bdev *
mirror_client (struct mirror *m, struct bdev *local)
{
  struct mirror_client *c;

  c = calloc (1, sizeof *c);
  if (c == NULL)
    goto error;
  c->bdev.ops = &client_ops;
  c->m = m;
  atomic_init (&c->active, 0);
  if (mirror_is_switched (m)) {
    if (begin_switched (m, c) == -1)
      goto error;
  }
  else {
    c->bdev.info = local->info;
    c->bdev.info.can_trim = local->info.can_zero;
    c->bdev.info.can_flush |= m->sec_can_flush;
    c->local = local;
  }
  mutex_lock (&m->lock);
  c->next = m->clients;
  if (c->next)
    c->next->prev = c;
  m->clients = c;
  mutex_unlock (&m->lock);
  return &c->bdev;

 error:
  mirror_say (m, ENGINE_ERROR, "%s", strerror (errno));
  free (c);
  return NULL;
}

/* ----------------------------------------------------- what the name means */

bool
mirror_relies (struct mirror *m)
{
  bool r;

  mutex_lock (&m->lock);
  /* The job and a comparison may take a moment to notice the stop. */
  r = m->phase != PHASE_STOPPED || m->attached || m->verified.running;
  mutex_unlock (&m->lock);
  return r;
}

void
mirror_found (struct mirror *m, enum instance_now now)
{
  if (now != INSTANCE_REPLACED)
    return;
  mutex_lock (&m->lock);
  /* Stopped or switched, it does not matter what the name means. */
  if (m->phase != PHASE_STOPPED && m->phase != PHASE_SWITCHED &&
      !m->replaced) {
    m->replaced = true;
    m->phase = PHASE_FAILED;
    mirror_failed (m, MIRROR_REPLACED);
    pthread_cond_broadcast (&m->changed);
  }
  mutex_unlock (&m->lock);
}

int
mirror_admit (struct mirror *m, enum instance_now now, uint64_t size,
              char why[MIRROR_WHY])
{
  mirror_found (m, now);
  if (now == INSTANCE_REPLACED)
    snprintf (why, MIRROR_WHY, "the plugin's disk of this name was replaced: "
              "expected the mirrored disk; stop the mirror to use the new one");
  else if (now == INSTANCE_SHRUNK && size == m->size)
    snprintf (why, MIRROR_WHY, "the primary was made smaller and larger again, "
              "and the secondary still has what that has cut off; stop the "
              "mirror and start it to copy everything");
  else if (now == INSTANCE_RESIZED || now == INSTANCE_SHRUNK)
    snprintf (why, MIRROR_WHY, "the primary's size is %" PRIu64 " bytes now: "
              "expected the mirror's, %" PRIu64 "; stop the mirror to use the "
              "new size",
              size, m->size);
  else
    return 0;
  return -1;
}

/* ---------------------------------------------------------- beginning, end */

int
mirror_bitmaps_init (struct mirror_bitmaps *b, uint64_t size)
{
  uint64_t bits;

  memset (b, 0, sizeof *b);
  /* At most 2^27 bits, 16 MiB, for a disk of any size. */
  b->granule = MIRROR_GRANULE;
  while (size / b->granule >= UINT64_C (1) << 27)
    b->granule *= 2;
  b->shift = __builtin_ctzll (b->granule);
  bits = (size + b->granule - 1) >> b->shift;
  if (bitmap_init (&b->dirty, bits) == 0 &&
      bitmap_init (&b->touched, bits) == 0 &&
      bitmap_init (&b->unflushed, bits) == 0 &&
      bitmap_init (&b->flushing, bits) == 0)
    return 0;
  mirror_bitmaps_free (b);
  errno = ENOMEM;
  return -1;
}

void
mirror_bitmaps_free (struct mirror_bitmaps *b)
{
  bitmap_free (&b->dirty);
  bitmap_free (&b->touched);
  bitmap_free (&b->unflushed);
  bitmap_free (&b->flushing);
}

/* Nobody else knows this mirror yet. */
static int
make_bitmaps (struct mirror *m) NO_TSA
{
  struct mirror_bitmaps b;

  if (mirror_bitmaps_init (&b, m->size) == -1)
    return -1;
  m->dirty = b.dirty;
  m->touched = b.touched;
  m->unflushed = b.unflushed;
  m->flushing = b.flushing;
  m->granule = b.granule;
  m->shift = b.shift;
  return 0;
}

static void
init_locks (struct mirror *m)
{
  ranges_init (&m->ranges);
  mutex_init (&m->lock);
  cond_init (&m->job_wake);
  cond_init (&m->stall_wake);
  cond_init (&m->changed);
}

struct mirror *
mirror_new (const struct mirror_options *options)
{
  struct mirror *m = calloc (1, sizeof *m);
  char why[MIRROR_WHY];
  int err;

  if (m == NULL) {
    options->instance->log (ENGINE_ERROR, "mirror: %s", strerror (errno));
    return NULL;
  }
  m->o = *options;
  m->primary = m->o.instance->local;
  m->secondary = m->o.instance->upstream;
  m->disk = m->primary->info.disk;
  m->cuts = m->primary->info.cuts.n;
  m->size = m->primary->info.size;
  m->rate = m->o.rate;
  init_locks (m);
  atomic_init (&m->gate, GATE_OPEN);
  atomic_init (&m->wrote, false);
  if (m->primary->info.readonly) {
    mirror_say (m, ENGINE_ERROR, "%s", "the primary is read-only: expected a "
                "writable disk");
    err = EROFS;
    goto error1;
  }
  atomic_init (&m->align, 1);
  if (m->o.stopped)
    m->phase = PHASE_STOPPED;
  else {
    if (bdev_connect (m->secondary) == -1) {
      err = errno;
      goto error1;
    }
    if (!mirror_suits (m, why)) {
      mirror_say (m, ENGINE_ERROR, "%s", why);
      err = EINVAL;
      goto error2;
    }
    m->sec_can_flush = m->secondary->info.can_flush;
    m->uuid = m->secondary->info.uuid;
    atomic_init (&m->align, m->secondary->info.block_min);
    m->attached = m->connected = true;
    m->proved = m->o.fail;
  }
  m->ours = malloc (COPY_MOST);
  m->theirs = malloc (COPY_MOST);
  if (m->ours == NULL || m->theirs == NULL || make_bitmaps (m) == -1) {
    err = errno;
    mirror_say (m, ENGINE_ERROR, "%s", strerror (err));
    goto error2;
  }
  m->full = true;
  bitmap_set (&m->dirty, 0, m->dirty.bits);
  err = mirror_stall_start (m);
  if (err == 0)
    err = thread_start (&m->job, "mblock-mirror", mirror_job, m);
  if (err) {
    mirror_say (m, ENGINE_ERROR, "%s", strerror (err));
    goto error3;
  }
  return m;

 error3:
  mutex_lock (&m->lock);
  m->quit = true;
  pthread_cond_broadcast (&m->stall_wake);
  mutex_unlock (&m->lock);
  mirror_stall_end (m);

 error2:
  if (!m->o.stopped)
    bdev_disconnect (m->secondary);
 error1:
  mirror_free (m);
  errno = err;
  return NULL;
}

void
mirror_end (struct mirror *m)
{
  mutex_lock (&m->lock);
  m->quit = true;
  if (m->phase == PHASE_SWITCHED)
    atomic_store (&m->gate, GATE_ENDED);
  pthread_cond_broadcast (&m->changed);
  pthread_cond_broadcast (&m->job_wake);
  pthread_cond_broadcast (&m->stall_wake);
  mutex_unlock (&m->lock);
  mirror_stall_end (m);
  pthread_join (m->job, NULL);
  if (m->verify_started)
    pthread_join (m->verify_thread, NULL);
  m->verify_started = false;
}

void
mirror_free (struct mirror *m)
{
  if (m == NULL)
    return;
  bitmap_free (&m->dirty);
  bitmap_free (&m->touched);
  bitmap_free (&m->unflushed);
  bitmap_free (&m->flushing);
  free (m->ours);
  free (m->theirs);
  pthread_cond_destroy (&m->job_wake);
  pthread_cond_destroy (&m->stall_wake);
  pthread_cond_destroy (&m->changed);
  mutex_destroy (&m->lock);
  ranges_destroy (&m->ranges);
  free (m);
}
