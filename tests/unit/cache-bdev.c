/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory for the tests of the cache. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bdev-parts.h"
#include "cache-bdev.h"

static struct memory *
memory_of (struct bdev *b)
{
  return (struct memory *) b;
}

/* splitmix64: each thread that calls this gets different numbers. */
static uint64_t
random_number (struct memory *m)
{
  uint64_t z = atomic_fetch_add (&m->seed, UINT64_C (0x9e3779b97f4a7c15));

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static bool
fails (struct memory *m, unsigned chance)
{
  unsigned delay = atomic_load (&m->delay);

  if (delay) {
    struct timespec ts = { .tv_nsec = delay * 1000L };

    nanosleep (&ts, NULL);
  }
  return chance && random_number (m) % 1000 < chance;
}

static void
check (const struct memory *m, uint32_t count, uint64_t offset)
{
  const struct bdev_info *i = &m->bdev.info;

  if (count == 0 || offset > i->size || count > i->size - offset ||
      (offset | count) % i->block_min) {
    fprintf (stderr, "a request that a bdev does not take: %lu at %llu\n",
             (unsigned long) count, (unsigned long long) offset);
    abort ();
  }
}

static int
fail (struct memory *m)
{
  errno = atomic_load (&m->error);
  return -1;
}

/* The errno are mramdisk's. */
static bool
past_end (struct memory *m, uint32_t count, uint64_t offset, int error)
{
  if (offset + count <= atomic_load (&m->end))
    return false;
  errno = error;
  return true;
}

static int
memory_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  struct memory *m = memory_of (b);

  check (m, count, offset);
  atomic_fetch_add (&m->reads, 1);
  atomic_fetch_add (&m->read_bytes, count);
  if (past_end (m, count, offset, EINVAL))
    return -1;
  if (fails (m, atomic_load (&m->fail_reads))) {
    /* The content of the buffer is undefined then. */
    memset (buf, 0xee, count);
    return fail (m);
  }
  memory_peek (m, buf, count, offset);
  return 0;
}

/* Store as many pages as there is room for. */
static int
store (struct memory *m, const uint8_t *buf, uint32_t count, uint64_t offset)
  REQUIRES (&m->lock)
{
  while (count > 0) {
    uint32_t n = MEMORY_BLOCK - offset % MEMORY_BLOCK;
    uint64_t page = offset / MEMORY_BLOCK;

    if (n > count)
      n = count;
    if (!m->mapped[page]) {
      if (m->pages >= atomic_load (&m->room)) {
        errno = ENOSPC;
        return -1;
      }
      m->mapped[page] = true;
      m->pages++;
    }
    memcpy (m->data + offset, buf, n);
    buf += n;
    offset += n;
    count -= n;
  }
  return 0;
}

static int
memory_write (struct bdev *b, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags)
{
  struct memory *m = memory_of (b);
  bool bad;
  int r;

  (void) flags;
  check (m, count, offset);
  atomic_fetch_add (&m->writes, 1);
  if (m->before_write)
    m->before_write ();
  if (past_end (m, count, offset, ENOSPC))
    return -1;
  bad = fails (m, atomic_load (&m->fail_writes)) ||
    atomic_exchange (&m->fail_next_write, false) ||
    (offset <= m->bad && m->bad - offset < count);
  if (bad)
    /* Part of it may have been written nevertheless. */
    count = random_number (m) % count;
  mutex_lock (&m->lock);
  r = store (m, buf, count, offset);
  mutex_unlock (&m->lock);
  return bad ? fail (m) : r;
}

/* Zero a range; whole pages become unmapped. */
static void
clear (struct memory *m, uint32_t count, uint64_t offset)
{
  mutex_lock (&m->lock);
  while (count > 0) {
    uint32_t n = MEMORY_BLOCK - offset % MEMORY_BLOCK;

    if (n > count)
      n = count;
    memset (m->data + offset, 0, n);
    if (n == MEMORY_BLOCK && m->mapped[offset / MEMORY_BLOCK]) {
      m->mapped[offset / MEMORY_BLOCK] = false;
      m->pages--;
    }
    offset += n;
    count -= n;
  }
  mutex_unlock (&m->lock);
}

static int
memory_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory *m = memory_of (b);

  (void) flags;
  check (m, count, offset);
  atomic_fetch_add (&m->zeroes, 1);
  if (past_end (m, count, offset, ENOSPC))
    return -1;
  if (fails (m, atomic_load (&m->fail_writes))) {
    clear (m, random_number (m) % count, offset);
    return fail (m);
  }
  clear (m, count, offset);
  return 0;
}

static int
memory_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct memory *m = memory_of (b);

  (void) flags;
  check (m, count, offset);
  atomic_fetch_add (&m->trims, 1);
  if (past_end (m, count, offset, ENOSPC))
    return -1;
  if (fails (m, atomic_load (&m->fail_writes)))
    return fail (m);
  clear (m, count, offset);
  return 0;
}

static int
memory_flush (struct bdev *b)
{
  struct memory *m = memory_of (b);

  atomic_fetch_add (&m->flushes, 1);
  return fails (m, atomic_load (&m->fail_flushes)) ? fail (m) : 0;
}

static int
memory_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  check (memory_of (b), count, offset);
  return 0;
}

static int
memory_extents (struct bdev *b, uint64_t count, uint64_t offset,
                uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct memory *m = memory_of (b);
  uint64_t end = offset + count;

  check (m, count, offset);
  atomic_fetch_add (&m->extents, 1);
  if (fails (m, atomic_load (&m->fail_reads)))
    return fail (m);
  while (offset < end) {
    uint64_t to;
    bool mapped;

    mutex_lock (&m->lock);
    mapped = m->mapped[offset / MEMORY_BLOCK];
    to = memory_extent_end (m->mapped, offset, end);
    mutex_unlock (&m->lock);
    if (fn (opaque, offset, to - offset, memory_extent_flags (mapped)) == -1)
      return -1;
    offset = to;
    if (flags & BDEV_REQ_ONE)
      break;
  }
  return 0;
}

static const struct bdev_ops memory_ops = {
  .read = memory_read,
  .write = memory_write,
  .zero = memory_zero,
  .trim = memory_trim,
  .flush = memory_flush,
  .cache = memory_cache,
  .extents = memory_extents,
  .close = memory_close,
};

void
memory_init (struct memory *m, uint64_t size)
{
  memset (m, 0, sizeof *m);
  m->bdev.ops = &memory_ops;
  m->bdev.info = memory_info (size);
  mutex_init (&m->lock);
  m->data = calloc (1, size);
  m->mapped = calloc (size / MEMORY_BLOCK + 1, sizeof *m->mapped);
  if (m->data == NULL || m->mapped == NULL)
    abort ();
  atomic_store (&m->room, UINT64_MAX);
  atomic_store (&m->end, UINT64_MAX);
  atomic_store (&m->bad, UINT64_MAX);
  atomic_store (&m->error, EIO);
}

void
memory_destroy (struct memory *m)
{
  mutex_destroy (&m->lock);
  free (m->data);
  free (m->mapped);
}

void
memory_peek (struct memory *m, void *buf, uint32_t count, uint64_t offset)
{
  mutex_lock (&m->lock);
  memcpy (buf, m->data + offset, count);
  mutex_unlock (&m->lock);
}

void
memory_poke (struct memory *m, const void *buf, uint32_t count,
             uint64_t offset)
{
  uint64_t page, last = (offset + count - 1) / MEMORY_BLOCK;

  mutex_lock (&m->lock);
  memcpy (m->data + offset, buf, count);
  for (page = offset / MEMORY_BLOCK; page <= last; page++)
    if (!m->mapped[page]) {
      m->mapped[page] = true;
      m->pages++;
    }
  mutex_unlock (&m->lock);
}

void
memory_grow_again (struct memory *m)
{
  uint64_t end = atomic_load (&m->end);

  mutex_lock (&m->lock);
  memset (m->data + end, 0, m->bdev.info.size - end);
  mutex_unlock (&m->lock);
  atomic_store (&m->end, UINT64_MAX);
}

uint64_t
memory_pages (struct memory *m)
{
  uint64_t n;

  mutex_lock (&m->lock);
  n = m->pages;
  mutex_unlock (&m->lock);
  return n;
}
