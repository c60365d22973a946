/* SPDX-License-Identifier: BSD-3-Clause */
/* A side in memory that fails on purpose. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory-side.h"

static struct memory_side *
side_of (struct side *s)
{
  return (struct memory_side *) s;
}

static void
broken (const char *what)
{
  fprintf (stderr, "memory side: %s\n", what);
  abort ();
}

static void
check (const struct memory_side *m, uint64_t count, uint64_t offset,
       uint32_t flags)
{
  if (count == 0 || offset + count > m->side.info.size)
    broken ("a request beyond the end, or for nothing");
  if ((offset | count) & (m->side.info.block_min - 1))
    broken ("a request that is not aligned");
  if ((flags & SIDE_FUA) && !m->side.info.can_fua)
    broken ("FUA that was not offered");
  if ((flags & SIDE_FAST_ZERO) && !m->side.info.can_fast_zero)
    broken ("a fast zero that was not offered");
}

/* Returns 0, or -1 with errno; with the lock held if 0. */
static int
begin (struct memory_side *m, unsigned *fail)
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

static int
memory_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  struct memory_side *m = side_of (s);

  check (m, count, offset, 0);
  if (begin (m, &m->fail_reads) == -1)
    return -1;
  memcpy (buf, m->data + offset, count);
  m->bytes_read += count;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static void
set_mapped (struct memory_side *m, uint32_t count, uint64_t offset)
{
  uint64_t b;

  for (b = offset / MEMORY_BLOCK; b * MEMORY_BLOCK < offset + count; b++)
    m->mapped[b] = true;
}

static int
memory_write (struct side *s, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct memory_side *m = side_of (s);

  check (m, count, offset, flags);
  if (m->slow)
    nanosleep (&(struct timespec) { .tv_nsec = m->slow }, NULL);
  pthread_mutex_lock (&m->lock);
  if (m->lost || m->fail_writes) {
    /* It may have been done in part all the same. */
    if (!m->lost && rand_r (&m->seed) % 2) {
      memcpy (m->data + offset, buf, count / 2);
      set_mapped (m, count, offset);
    }
    pthread_mutex_unlock (&m->lock);
    if (begin (m, &m->fail_writes) == -1)
      return -1;
  }
  memcpy (m->data + offset, buf, count);
  if (flags & SIDE_FUA)
    memcpy (m->stable + offset, buf, count);
  set_mapped (m, count, offset);
  m->bytes_written += count;
  m->writes++;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static int
memory_write_while (struct side *s, const void *buf, uint32_t count,
                    uint64_t offset, uint32_t flags,
                    void (*meanwhile) (void *opaque), void *opaque)
{
  int r, err;
  bool before = count % 2;

  if (before)
    meanwhile (opaque);
  r = memory_write (s, buf, count, offset, flags);
  err = errno;
  if (!before)
    meanwhile (opaque);
  errno = err;
  return r;
}

static int
memory_zero (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory_side *m = side_of (s);
  uint64_t b;

  check (m, count, offset, flags);
  if (!m->side.info.can_zero)
    broken ("a zero that was not offered");
  if (begin (m, &m->fail_writes) == -1)
    return -1;
  memset (m->data + offset, 0, count);
  if (flags & SIDE_FUA)
    memset (m->stable + offset, 0, count);
  for (b = (offset + MEMORY_BLOCK - 1) / MEMORY_BLOCK;
       (flags & SIDE_MAY_TRIM) && (b + 1) * MEMORY_BLOCK <= offset + count;
       b++)
    m->mapped[b] = false;
  m->bytes_zeroed += count;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

/* What it leaves there is its own choice. */
static int
memory_trim (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory_side *m = side_of (s);

  check (m, count, offset, flags);
  if (!m->side.info.can_trim)
    broken ("a trim that was not offered");
  if (begin (m, &m->fail_writes) == -1)
    return -1;
  if (rand_r (&m->seed) % 2)
    memset (m->data + offset, 0, count);
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static int
memory_flush (struct side *s)
{
  struct memory_side *m = side_of (s);

  if (!m->side.info.can_flush)
    broken ("a flush that was not offered");
  pthread_mutex_lock (&m->lock);
  if (m->fail_flushes && !m->lost) {
    /* As with fsync(2): what it was to save is gone. */
    memcpy (m->data, m->stable, m->side.info.size);
    set_mapped (m, m->side.info.size, 0);
  }
  pthread_mutex_unlock (&m->lock);
  if (begin (m, &m->fail_flushes) == -1)
    return -1;
  memcpy (m->stable, m->data, m->side.info.size);
  m->flushes++;
  pthread_mutex_unlock (&m->lock);
  return 0;
}

static int
memory_cache (struct side *s, uint32_t count, uint64_t offset)
{
  check (side_of (s), count, offset, 0);
  return 0;
}

static int
memory_extents (struct side *s, uint32_t count, uint64_t offset,
                uint32_t flags, side_extent_fn fn, void *opaque)
{
  struct memory_side *m = side_of (s);
  uint64_t end = offset + count;
  unsigned n = 0;

  check (m, count, offset, 0);
  if (!m->side.info.can_extents)
    broken ("block status that was not offered");
  /* Some at a time, as servers do. */
  while (offset < end && n++ < 5) {
    uint64_t b = offset / MEMORY_BLOCK, to = (b + 1) * MEMORY_BLOCK;
    bool mapped;

    if (begin (m, NULL) == -1)
      return -1;
    mapped = m->mapped[b];
    while (to < end && m->mapped[to / MEMORY_BLOCK] == mapped)
      to += MEMORY_BLOCK;
    pthread_mutex_unlock (&m->lock);
    to = to < end ? to : end;
    if (fn (opaque, offset, to - offset,
            mapped ? 0 : SIDE_HOLE | SIDE_ZERO) == -1)
      return -1;
    offset = to;
    if (flags & SIDE_REQ_ONE)
      break;
  }
  return 0;
}

static void
memory_close (struct side *s)
{
  (void) s;
}

static int
memory_connect (struct side *s)
{
  struct memory_side *m = side_of (s);
  int r = 0;

  pthread_mutex_lock (&m->lock);
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
memory_disconnect (struct side *s)
{
  memory_set (side_of (s), lost, true);
}

static const struct side_ops ops = {
  .read = memory_read,
  .write = memory_write,
  .zero = memory_zero,
  .trim = memory_trim,
  .flush = memory_flush,
  .cache = memory_cache,
  .extents = memory_extents,
  .write_while = memory_write_while,
  .close = memory_close,
  .connect = memory_connect,
  .disconnect = memory_disconnect,
};

struct memory_side *
memory_side (uint64_t size)
{
  struct memory_side *m = calloc (1, sizeof *m);

  if (m == NULL)
    abort ();
  m->side.ops = &ops;
  m->side.info = (struct side_info) {
    .size = size, .block_min = 1, .can_flush = true, .can_fua = true,
    .can_trim = true, .can_zero = true, .can_fast_zero = true,
    .can_cache = true, .can_extents = true, .can_multi_conn = true,
  };
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
memory_free (struct memory_side *m)
{
  free (m->data);
  free (m->stable);
  free (m->mapped);
  pthread_mutex_destroy (&m->lock);
  free (m);
}

void
memory_crash (struct memory_side *m, enum memory_loss loss, bool down)
{
  uint64_t b, size = m->side.info.size;

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
memory_up (struct memory_side *m)
{
  memory_set (m, down, false);
}

uint64_t
memory_difference (struct memory_side *a, struct memory_side *b)
{
  uint64_t size = a->side.info.size, i;

  pthread_mutex_lock (&a->lock);
  pthread_mutex_lock (&b->lock);
  for (i = 0; i < size && a->data[i] == b->data[i]; i++)
    ;
  pthread_mutex_unlock (&b->lock);
  pthread_mutex_unlock (&a->lock);
  return i;
}
