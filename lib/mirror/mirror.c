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

#include "mirror.h"
#include "mirror-private.h"

/* Zeros to be written to a secondary that cannot zero. */
static const char zeros[COPY_MOST];

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

/* Something becomes dirty: if nothing was, a new resync begins. */
static void
begin_resync (struct mirror *m) REQUIRES (&m->lock)
{
  if (m->settled && m->dirty.set == 0) {
    m->cleaned = 0;
    m->nsamples = 0;
  }
  m->settled = false;
}

void
mirror_dirty (struct mirror *m, uint64_t offset, uint64_t count)
{
  bool was_clean = m->dirty.set == 0;

  begin_resync (m);
  bitmap_set (&m->dirty, first_granule (m, offset),
              end_granule (m, offset + count));
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

/* The secondary failed a request, or does not answer: do without it (Y3). */
static void
lose (struct mirror *m, int error, const char *what) REQUIRES (&m->lock)
{
  m->connected = false;
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
    lose (m, error, what);
  if (--m->users == 0 && !m->connected) {
    pthread_cond_broadcast (&m->changed);
    pthread_cond_signal (&m->job_wake);
  }
  return error == 0 && incarnation == m->incarnation;
}

/* One flush covers all that wait for one that begins after they came. */
int
mirror_flush_secondary (struct mirror *m)
{
  uint64_t ticket, incarnation;
  int r = 0;

  mutex_lock (&m->lock);
  ticket = m->flushes_begun + 1;
  incarnation = m->incarnation;
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
    if (m->secondary->info.can_flush && side_flush (m->secondary) == -1)
      error = errno;
    mutex_lock (&m->lock);
    if (mirror_put (m, incarnation, error, "flush"))
      bitmap_clear_all (&m->flushing);
    m->flush_runs = false;
    m->flushes_done = mine;
    pthread_cond_broadcast (&m->changed);
  }
  /* It may have been lost while another thread's flush was under way. */
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
  struct side *s = m->secondary;

  if (!s->info.can_fua)
    flags &= ~SIDE_FUA;
  while (count) {
    uint32_t n = least (count, s->info.can_zero ? REGION : COPY_MOST);
    int r = s->info.can_zero ? side_zero (s, n, offset, flags)
      : side_write (s, zeros, n, offset, flags & SIDE_FUA);

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
  bool both;                    /* it goes to the secondary, too */
  uint64_t incarnation;
};

/* Take the range, wide enough for the secondary's blocks (Y4). */
static int
begin_change (struct mirror *m, struct change *c)
{
  uint64_t end = c->offset + c->count;
  uint32_t align;
  int err = 0;

  for (;;) {
    uint64_t from;

    align = atomic_load_explicit (&m->align, memory_order_relaxed);
    from = round_down (c->offset, align);
    ranges_lock (&m->ranges, &c->range, from, round_up (end, align) - from,
                 RANGE_EXCLUSIVE);
    mutex_lock (&m->lock);
    /* It grows with the lock held, before the secondary is connected. */
    if (align == atomic_load_explicit (&m->align, memory_order_relaxed))
      break;
    mutex_unlock (&m->lock);
    ranges_unlock (&m->ranges, &c->range);
  }
  if (m->quit)
    err = ESHUTDOWN;
  else if (m->o.fail && m->phase != PHASE_STOPPED && !m->connected)
    err = EIO;
  else {
    c->both = m->connected && !bitmap_all (&m->dirty,
                                           first_granule (m, c->offset),
                                           end_granule (m, end));
    if (c->both && (c->flags & SIDE_FAST_ZERO) &&
        !m->secondary->info.can_fast_zero)
      err = ENOTSUP;
    else if (c->both)
      mirror_get (m, &c->incarnation);
    else
      mirror_dirty (m, c->offset, c->count);
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
change_primary (struct side *local, const struct change *c)
{
  return c->buf ? side_write (local, c->buf, c->count, c->offset, c->flags)
    : side_zero (local, c->count, c->offset, c->flags);
}

/* A block of the secondary that the change covers in part only: the primary,
 * which has been changed, knows the rest.
 */
static int
copy_block (struct mirror *m, struct side *local, uint64_t offset,
            uint32_t flags)
{
  uint32_t count = least (m->secondary->info.block_min, m->size - offset);
  char *block = malloc (count);
  int r = -1;

  if (block) {
    r = side_read (local, block, count, offset);
    if (r == 0)
      r = side_write (m->secondary, block, count, offset, flags & SIDE_FUA);
  }
  free (block);
  return r;
}

/* After the primary. */
static int
change_secondary (struct mirror *m, struct side *local,
                  const struct change *c)
{
  struct side *s = m->secondary;
  uint64_t block = s->info.block_min, end = c->offset + c->count;
  uint64_t from = round_up (c->offset, block), to = round_down (end, block);
  uint32_t flags = c->flags & ~(s->info.can_fua ? 0 : SIDE_FUA);

  if (end == m->size)
    to = end;
  if (from != c->offset &&
      copy_block (m, local, from - block, flags) == -1)
    return -1;
  if (to != end && to >= from && copy_block (m, local, to, flags) == -1)
    return -1;
  if (to > from) {
    if (c->buf ? side_write (s, c->buf + (from - c->offset), to - from, from,
                             flags)
        : mirror_zero_secondary (m, to - from, from, flags))
      return -1;
  }
  if ((c->flags & SIDE_FUA) && !s->info.can_fua)
    return mirror_flush_secondary (m);
  return 0;
}

/* A write to the primary, to be done while the secondary works. */
struct primary_write {
  struct side *local;
  const struct change *c;
  int error;
};

static void
write_primary (void *opaque)
{
  struct primary_write *w = opaque;

  w->error = change_primary (w->local, w->c) == -1 ? errno : 0;
}

/* Can it go to the secondary as it is? */
static bool
fits_secondary (const struct mirror *m, const struct change *c)
{
  const struct side_info *i = &m->secondary->info;

  return c->buf && m->secondary->ops->write_while &&
    ((c->offset | c->count) & (i->block_min - 1)) == 0 &&
    (i->can_fua || !(c->flags & SIDE_FUA));
}

/* Change one side or both.  Errors are errno values, 0: none. */
static void
change_sides (struct mirror *m, struct side *local, const struct change *c,
              int *err, int *sec_err)
{
  if (c->both && fits_secondary (m, c)) {
    struct primary_write w = { local, c, 0 };

    if (m->secondary->ops->write_while (m->secondary, c->buf, c->count,
                                        c->offset, c->flags, write_primary,
                                        &w) == -1)
      *sec_err = errno;
    *err = w.error;
    return;
  }
  if (change_primary (local, c) == -1)
    *err = errno;
  else if (c->both && change_secondary (m, local, c) == -1)
    *sec_err = errno;
}

static int
change (struct mirror *m, struct side *local, struct change *c)
{
  bool not_fast, good = true, both;
  int err = 0, sec_err = 0;

  if (begin_change (m, c) == -1)
    return -1;
  both = c->both;
  change_sides (m, local, c, &err, &sec_err);
  mutex_lock (&m->lock);
  /* Not an error: the primary has done nothing, or the secondary leaves it to
   * the job.
   */
  not_fast = (c->flags & SIDE_FAST_ZERO) &&
    (err ? err == ENOTSUP || err == EOPNOTSUPP
     : sec_err == ENOTSUP || sec_err == EOPNOTSUPP);
  if (both) {
    good = mirror_put (m, c->incarnation, not_fast ? 0 : sec_err, c->what);
    if (!good || (err && !not_fast) || (not_fast && sec_err))
      mirror_dirty (m, c->offset, c->count); /* Y2 */
    else if (!err)
      bitmap_set (&m->unflushed, first_granule (m, c->offset),
                  end_granule (m, c->offset + c->count)); /* Y3 */
  }
  m->in_flight--;
  m->writes++;
  mutex_unlock (&m->lock);
  ranges_unlock (&m->ranges, &c->range);

  if (err == 0 && !good && m->o.fail)
    err = EIO;
  errno = err;
  return err ? -1 : 0;
}

/* ------------------------------------------------------- a client's side */

struct client {
  struct side side;
  struct mirror *m;
  struct side *local;
};

static struct client *
client_of (struct side *s)
{
  return (struct client *) s;
}

static int
client_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  return side_read (client_of (s)->local, buf, count, offset);
}

static int
client_write (struct side *s, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct change c = { .what = "write", .buf = buf, .count = count,
                      .offset = offset, .flags = flags };

  return change (client_of (s)->m, client_of (s)->local, &c);
}

static int
client_zero (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct change c = { .what = "zero", .count = count, .offset = offset,
                      .flags = flags };

  return change (client_of (s)->m, client_of (s)->local, &c);
}

/* What a trimmed range reads as is for each side to choose; both must choose
 * the same.
 */
static int
client_trim (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  return client_zero (s, count, offset, (flags & SIDE_FUA) | SIDE_MAY_TRIM);
}

static int
client_flush (struct side *s)
{
  struct client *client = client_of (s);
  struct mirror *m = client->m;
  int r = 0, err = 0;
  bool here, wanted;

  if (client->local->info.can_flush && side_flush (client->local) == -1)
    err = errno;
  mutex_lock (&m->lock);
  here = m->connected;
  wanted = m->o.fail && m->phase != PHASE_STOPPED;
  if (m->quit && !err)
    err = ESHUTDOWN;
  mutex_unlock (&m->lock);
  if (here)
    r = mirror_flush_secondary (m);
  if (!err && wanted && (!here || r == -1))
    err = EIO;
  errno = err;
  return err ? -1 : 0;
}

static int
client_cache (struct side *s, uint32_t count, uint64_t offset)
{
  return side_cache (client_of (s)->local, count, offset);
}

static int
client_extents (struct side *s, uint32_t count, uint64_t offset,
                uint32_t flags, side_extent_fn fn, void *opaque)
{
  return side_extents (client_of (s)->local, count, offset, flags, fn,
                       opaque);
}

static void
client_close (struct side *s)
{
  free (client_of (s));
}

static const struct side_ops client_ops = {
  .read = client_read,
  .write = client_write,
  .zero = client_zero,
  .trim = client_trim,
  .flush = client_flush,
  .cache = client_cache,
  .extents = client_extents,
  .close = client_close,
};

struct side *
mirror_client (struct mirror *m, struct side *local)
{
  struct client *c;

  if (local->info.size != m->size) {
    mirror_say (m, ENGINE_ERROR, "the primary's size is %" PRIu64 " bytes "
                "now, expected the mirror's, %" PRIu64, local->info.size,
                m->size);
    errno = EINVAL;
    return NULL;
  }
  c = calloc (1, sizeof *c);
  if (c == NULL) {
    mirror_say (m, ENGINE_ERROR, "%s", strerror (errno));
    return NULL;
  }
  c->side.ops = &client_ops;
  c->side.info = local->info;
  c->side.info.can_trim = local->info.can_zero;
  c->side.info.can_flush |= m->sec_can_flush;
  c->m = m;
  c->local = local;
  return &c->side;
}

/* ---------------------------------------------------------- beginning, end */

static int
make_bitmaps (struct mirror *m)
{
  uint64_t bits;

  /* At most 2^27 bits, 16 MiB, for a disk of any size. */
  m->granule = MIRROR_GRANULE;
  while (m->size / m->granule >= UINT64_C (1) << 27)
    m->granule *= 2;
  m->shift = __builtin_ctzll (m->granule);
  bits = end_granule (m, m->size);
  if (bitmap_init (&m->dirty, bits) == -1 ||
      bitmap_init (&m->unflushed, bits) == -1 ||
      bitmap_init (&m->flushing, bits) == -1)
    return -1;
  return 0;
}

static void
init_locks (struct mirror *m)
{
  pthread_condattr_t attr;

  ranges_init (&m->ranges);
  mutex_init (&m->lock);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  if (pthread_cond_init (&m->job_wake, &attr) ||
      pthread_cond_init (&m->changed, &attr))
    abort ();
  pthread_condattr_destroy (&attr);
}

struct mirror *
mirror_new (const struct mirror_options *options)
{
  struct mirror *m = calloc (1, sizeof *m);
  char why[MIRROR_WHY];
  int err;

  if (m == NULL) {
    options->pair->log (ENGINE_ERROR, "mirror: %s", strerror (errno));
    return NULL;
  }
  m->o = *options;
  m->primary = m->o.pair->local;
  m->secondary = m->o.pair->upstream;
  m->size = m->primary->info.size;
  init_locks (m);
  if (m->primary->info.readonly) {
    mirror_say (m, ENGINE_ERROR, "%s", "the primary is read-only, expected "
                "one that can be written");
    err = EROFS;
    goto error1;
  }
  atomic_init (&m->align, 1);
  if (m->o.stopped)
    m->phase = PHASE_STOPPED;
  else {
    if (side_connect (m->secondary) == -1) {
      err = errno;
      goto error1;
    }
    if (!mirror_suits (m, why)) {
      mirror_say (m, ENGINE_ERROR, "%s", why);
      err = EINVAL;
      goto error2;
    }
    m->sec_can_flush = m->secondary->info.can_flush;
    atomic_init (&m->align, m->secondary->info.block_min);
    m->attached = m->connected = true;
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
  err = pthread_create (&m->job, NULL, mirror_job, m);
  if (err) {
    mirror_say (m, ENGINE_ERROR, "%s", strerror (err));
    goto error2;
  }
  return m;

 error2:
  if (!m->o.stopped)
    side_disconnect (m->secondary);
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
  pthread_cond_broadcast (&m->changed);
  pthread_cond_broadcast (&m->job_wake);
  mutex_unlock (&m->lock);
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
  bitmap_free (&m->unflushed);
  bitmap_free (&m->flushing);
  free (m->ours);
  free (m->theirs);
  pthread_cond_destroy (&m->job_wake);
  pthread_cond_destroy (&m->changed);
  mutex_destroy (&m->lock);
  ranges_destroy (&m->ranges);
  free (m);
}
