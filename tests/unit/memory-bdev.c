/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory that fails on purpose. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory-bdev.h"

static struct memory_bdev *
bdev_of (struct bdev *b)
{
  return (struct memory_bdev *) b;
}

static void
broken (const char *what)
{
  fprintf (stderr, "memory bdev: %s\n", what);
  abort ();
}

static void
check (const struct memory_bdev *m, uint64_t count, uint64_t offset,
       uint32_t flags)
{
  if (count == 0 || offset + count > m->bdev.info.size)
    broken ("a request beyond the end, or for nothing");
  if ((offset | count) & (m->bdev.info.block_min - 1))
    broken ("a request that is not aligned");
  if ((flags & BDEV_FUA) && !m->bdev.info.can_fua)
    broken ("FUA that was not offered");
  if ((flags & BDEV_FAST_ZERO) && !m->bdev.info.can_fast_zero)
    broken ("a fast zero that was not offered");
}

/* Returns 0, or -1 with errno; with the lock held if 0. */
static int
begin (struct memory_bdev *m, unsigned *fail)
{
  pthread_mutex_lock (&m->lock);
  if (m->lost || (fail && *fail)) {
    errno = m->lost ? ESHUTDOWN : m->fail_with ? m->fail_with : EIO;
    if (!m->lost)
      --*fail;
    pthread_mutex_unlock (&m->lock);
    return -1;
  }
  return 0;
}

/* With the lock held, but not while this waits. */
static void
hold (struct memory_bdev *m, bool *next)
{
  if (!*next)
    return;
  *next = false;
  m->held = true;
  while (m->held) {
    pthread_mutex_unlock (&m->lock);
    nanosleep (&(struct timespec) { .tv_nsec = 1000000 }, NULL);
    pthread_mutex_lock (&m->lock);
  }
}

static int
memory_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  struct memory_bdev *m = bdev_of (b);

  check (m, count, offset, 0);
  pthread_mutex_lock (&m->lock);
  hold (m, &m->hold_next_read);
  pthread_mutex_unlock (&m->lock);
  if (begin (m, &m->fail_reads) == -1)
    return -1;
  memcpy (buf, m->data + offset, count);
  m->bytes_read += count;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static void
set_mapped (struct memory_bdev *m, uint32_t count, uint64_t offset)
{
  uint64_t i;

  for (i = offset / MEMORY_BLOCK; i * MEMORY_BLOCK < offset + count; i++)
    m->mapped[i] = true;
}

static int
memory_write (struct bdev *b, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct memory_bdev *m = bdev_of (b);

  check (m, count, offset, flags);
  if (m->slow)
    nanosleep (&(struct timespec) { .tv_nsec = m->slow }, NULL);
  pthread_mutex_lock (&m->lock);
  if (m->slow_seconds) {
    struct timespec ts = { .tv_sec = m->slow_seconds };

    m->slow_seconds = 0;
    pthread_mutex_unlock (&m->lock);
    nanosleep (&ts, NULL);
    pthread_mutex_lock (&m->lock);
  }
  hold (m, &m->hold_next);
  if (m->lost || m->fail_writes) {
    /* It may have been carried out in part nevertheless. */
    if (!m->lost && rand_r (&m->seed) % 2) {
      memcpy (m->data + offset, buf, count / 2);
      set_mapped (m, count, offset);
    }
    pthread_mutex_unlock (&m->lock);
    if (begin (m, &m->fail_writes) == -1)
      return -1;
  }
  memcpy (m->data + offset, buf, count);
  if (flags & BDEV_FUA)
    memcpy (m->stable + offset, buf, count);
  set_mapped (m, count, offset);
  m->bytes_written += count;
  m->writes++;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

/* A write that was started, and is done at its end or before. */
struct started {
  bool done;
  const void *buf;
  uint32_t count, flags;
  uint64_t offset;
};

static void
memory_write_start (struct bdev *b, struct bdev_write *w, const void *buf,
                    uint32_t count, uint64_t offset, uint32_t flags)
{
  struct started *s = (struct started *) w->room;

  *s = (struct started) { count % 2 == 0, buf, count, flags, offset };
  memory_set (bdev_of (b), started, bdev_of (b)->started + 1);
  w->error = 0;
  if (s->done && memory_write (b, buf, count, offset, flags) == -1)
    w->error = errno;
}

static int
memory_write_wait (struct bdev *b, struct bdev_write *w)
{
  struct started *s = (struct started *) w->room;

  if (!s->done)
    return memory_write (b, s->buf, s->count, s->offset, s->flags);
  errno = w->error;
  return w->error ? -1 : 0;
}

static int
memory_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory_bdev *m = bdev_of (b);
  uint64_t i;

  check (m, count, offset, flags);
  if (!m->bdev.info.can_zero)
    broken ("a zero that was not offered");
  if (m->slow_zero && (flags & BDEV_FAST_ZERO)) {
    errno = ENOTSUP;
    return -1;
  }
  if (begin (m, &m->fail_writes) == -1)
    return -1;
  memset (m->data + offset, 0, count);
  if (flags & BDEV_FUA)
    memset (m->stable + offset, 0, count);
  for (i = (offset + MEMORY_BLOCK - 1) / MEMORY_BLOCK;
       (flags & BDEV_MAY_TRIM) && (i + 1) * MEMORY_BLOCK <= offset + count;
       i++)
    m->mapped[i] = false;
  m->bytes_zeroed += count;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

/* The device chooses what it leaves there. */
static int
memory_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory_bdev *m = bdev_of (b);

  check (m, count, offset, flags);
  if (!m->bdev.info.can_trim)
    broken ("a trim that was not offered");
  if (begin (m, &m->fail_writes) == -1)
    return -1;
  if (rand_r (&m->seed) % 2)
    memset (m->data + offset, 0, count);
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static int
memory_flush (struct bdev *b)
{
  struct memory_bdev *m = bdev_of (b);

  if (!m->bdev.info.can_flush)
    broken ("a flush that was not offered");
  pthread_mutex_lock (&m->lock);
  hold (m, &m->hold_next_flush);
  if (m->fail_flushes && !m->lost) {
    /* As with fsync(2): what was to be saved is lost. */
    memcpy (m->data, m->stable, m->bdev.info.size);
    set_mapped (m, m->bdev.info.size, 0);
  }
  pthread_mutex_unlock (&m->lock);
  if (begin (m, &m->fail_flushes) == -1)
    return -1;
  memcpy (m->stable, m->data, m->bdev.info.size);
  m->flushes++;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static int
memory_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  check (bdev_of (b), count, offset, 0);
  return 0;
}

static int
memory_extents (struct bdev *b, uint64_t count, uint64_t offset,
                uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct memory_bdev *m = bdev_of (b);
  uint64_t end = offset + count;
  unsigned n = 0;

  check (m, count, offset, 0);
  if (!m->bdev.info.can_extents)
    broken ("block status that was not offered");
  pthread_mutex_lock (&m->lock);
  m->extents++;
  hold (m, &m->hold_next_extents);
  pthread_mutex_unlock (&m->lock);
  /* A few at a time, as servers do. */
  while (offset < end && n++ < 5) {
    uint64_t to;
    bool mapped;

    if (begin (m, NULL) == -1)
      return -1;
    mapped = m->mapped[offset / MEMORY_BLOCK];
    to = memory_extent_end (m->mapped, offset, end);
    pthread_mutex_unlock (&m->lock);
    if (fn (opaque, offset, to - offset, memory_extent_flags (mapped)) == -1)
      return -1;
    offset = to;
    if (flags & BDEV_REQ_ONE)
      break;
  }
  return 0;
}

static int
memory_connect (struct bdev *b)
{
  struct memory_bdev *m = bdev_of (b);
  int r = 0;

  pthread_mutex_lock (&m->lock);
  hold (m, &m->hold_next_connect);
  if (m->down) {
    errno = ECONNREFUSED;
    r = -1;
  }
  else {
    m->lost = false;
    m->connects++;
  }
  pthread_mutex_unlock (&m->lock);
  return r;
}

static void
memory_disconnect (struct bdev *b)
{
  memory_set (bdev_of (b), lost, true);
}

static const struct bdev_ops ops = {
  .read = memory_read,
  .write = memory_write,
  .zero = memory_zero,
  .trim = memory_trim,
  .flush = memory_flush,
  .cache = memory_cache,
  .extents = memory_extents,
  .write_start = memory_write_start,
  .write_wait = memory_write_wait,
  .close = memory_close,
  .connect = memory_connect,
  .disconnect = memory_disconnect,
};

struct memory_bdev *
memory_bdev (uint64_t size)
{
  struct memory_bdev *m = calloc (1, sizeof *m);

  if (m == NULL)
    abort ();
  m->bdev.ops = &ops;
  m->bdev.info = memory_info (size);
  m->data = calloc (1, size + 1);
  m->stable = calloc (1, size + 1);
  m->mapped = calloc (size / MEMORY_BLOCK + 1, sizeof *m->mapped);
  if (m->data == NULL || m->stable == NULL || m->mapped == NULL)
    abort ();
  m->seed = 1;
  pthread_mutex_init (&m->lock, NULL);
  return m;
}

void
memory_free (struct memory_bdev *m)
{
  free (m->data);
  free (m->stable);
  free (m->mapped);
  pthread_mutex_destroy (&m->lock);
  free (m);
}

void
memory_crash (struct memory_bdev *m, enum memory_loss loss, bool down)
{
  uint64_t b, size = m->bdev.info.size;

  pthread_mutex_lock (&m->lock);
  m->lost = true;
  m->down = down;
  for (b = 0; b * MEMORY_BLOCK < size; b++) {
    uint64_t offset = b * MEMORY_BLOCK;
    uint64_t n = size - offset < MEMORY_BLOCK ? size - offset : MEMORY_BLOCK;

    if (loss == LOSE_ALL) {
      memset (m->data + offset, 0, n);
      m->mapped[b] = false;
    }
    else if (loss == LOSE_UNFLUSHED && rand_r (&m->seed) % 2) {
      memcpy (m->data + offset, m->stable + offset, n);
      m->mapped[b] = true;
    }
  }
  memcpy (m->stable, m->data, size);
  pthread_mutex_unlock (&m->lock);
}

void
memory_up (struct memory_bdev *m)
{
  memory_set (m, down, false);
}

uint64_t
memory_difference (struct memory_bdev *a, struct memory_bdev *b)
{
  uint64_t size = a->bdev.info.size, i;

  pthread_mutex_lock (&a->lock);
  pthread_mutex_lock (&b->lock);
  for (i = 0; i < size && a->data[i] == b->data[i]; i++)
    ;
  pthread_mutex_unlock (&b->lock);
  pthread_mutex_unlock (&a->lock);
  return i;
}
