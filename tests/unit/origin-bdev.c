/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device to be an origin. */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ramdisk/disk-origin-parts.h"
#include "origin-bdev.h"

static void
broken (const char *what)
{
  fprintf (stderr, "origin bdev: %s\n", what);
  abort ();
}

static bool
is_zero (uint64_t page)
{
  return page % 7 == 3 || page % 200 < 40;
}

void
origin_bdev_page (uint64_t page, char *buf)
{
  unsigned i;

  memset (buf, 0, PAGE_BYTES);
  /* Little-endian: tests tell by its first byte whether a page is zero. */
  for (i = 0; i < PAGE_BYTES / 8 && !is_zero (page); i++)
    ((uint64_t *) buf)[i] = htole64 ((page + 1) << 32 | (i + 1));
}

static void
check (const struct origin_bdev *b, uint64_t count, uint64_t offset)
{
  const struct bdev_info *info = &b->bdev.info;

  if (count == 0 || offset + count > info->size)
    broken ("a request beyond the end, or for nothing");
  if (offset % info->block_min ||
      (count % info->block_min && offset + count < info->size))
    broken ("a request that is not aligned");
  if (b->closed)
    broken ("a request after it was closed");
}

static int
origin_bdev_read (struct bdev *bdev, void *buf, uint32_t count,
                  uint64_t offset)
{
  struct origin_bdev *b = (struct origin_bdev *) bdev;
  uint64_t page = offset / PAGE_BYTES, done;
  int err = 0;

  pthread_mutex_lock (&b->lock);
  check (b, count, offset);
  b->requests++;
  b->reads_of_reader += pthread_equal (b->reader, pthread_self ()) != 0;
  b->waiting++;
  pthread_cond_broadcast (&b->cond);
  while (b->holds && !b->gave_up)
    pthread_cond_wait (&b->cond, &b->lock);
  b->waiting--;
  if (b->away || b->gave_up)
    err = ESHUTDOWN;
  else if ((unsigned) rand_r (&b->seed) % 100 < b->fail_percent)
    err = rand_r (&b->seed) % 2 ? EIO : ESHUTDOWN;
  for (done = 0; done < count && !err; page++) {
    char content[PAGE_BYTES];
    uint64_t n = count - done < PAGE_BYTES ? count - done : PAGE_BYTES;

    if (page == b->bad)
      err = EIO;
    origin_bdev_page (page, content);
    memcpy ((char *) buf + done, content, n);
    done += n;
  }
  for (page = offset / PAGE_BYTES; !err && page * PAGE_BYTES < offset + count;
       page++)
    b->reads[page]++;
  pthread_mutex_unlock (&b->lock);
  errno = err;
  return err ? -1 : 0;
}

/* A few at a time, as servers do. */
static int
origin_bdev_extents (struct bdev *bdev, uint64_t count, uint64_t offset,
                     uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct origin_bdev *b = (struct origin_bdev *) bdev;
  uint64_t end = offset + count, to;
  unsigned n = 0;
  int err = 0;

  (void) flags;
  pthread_mutex_lock (&b->lock);
  check (b, count, offset);
  if (!bdev->info.can_extents)
    broken ("block status that was not offered");
  if (b->away || b->gave_up)
    err = ESHUTDOWN;
  pthread_mutex_unlock (&b->lock);
  for (; !err && offset < end && n++ < 5; offset = to) {
    uint64_t page = offset / PAGE_BYTES;
    bool zero = b->all_zeros || is_zero (page);

    for (to = offset; to < end && is_zero (page) == zero; page++)
      to = (page + 1) * PAGE_BYTES;
    if (b->all_zeros)           /* an extent may go beyond the request */
      to = bdev->info.size;
    to = to < bdev->info.size ? to : bdev->info.size;
    if (fn (opaque, offset, to - offset, zero ? BDEV_ZERO | BDEV_HOLE
            : 0) == -1)
      return -1;
  }
  errno = err;
  return err ? -1 : 0;
}

static const struct bdev_ops ops = {
  .read = origin_bdev_read, .extents = origin_bdev_extents,
};

struct origin_bdev *
origin_bdev (uint64_t size)
{
  struct origin_bdev *b = calloc (1, sizeof *b);

  if (b == NULL)
    abort ();
  b->bdev.ops = &ops;
  b->bdev.info = (struct bdev_info) {
    .size = size, .block_min = 1, .readonly = true, .can_extents = true,
  };
  b->reads = calloc (size / PAGE_BYTES + 1, sizeof *b->reads);
  b->bad = UINT64_MAX;
  b->seed = 1;
  pthread_mutex_init (&b->lock, NULL);
  pthread_cond_init (&b->cond, NULL);
  return b;
}

void
origin_bdev_free (struct origin_bdev *b)
{
  pthread_mutex_destroy (&b->lock);
  pthread_cond_destroy (&b->cond);
  free (b->reads);
  free (b);
}

void
origin_bdev_hold (struct origin_bdev *b, bool holds)
{
  pthread_mutex_lock (&b->lock);
  b->holds = holds;
  pthread_cond_broadcast (&b->cond);
  pthread_mutex_unlock (&b->lock);
}

void
origin_bdev_await (struct origin_bdev *b, unsigned waiting)
{
  pthread_mutex_lock (&b->lock);
  while (b->waiting != waiting)
    pthread_cond_wait (&b->cond, &b->lock);
  pthread_mutex_unlock (&b->lock);
}

static void
give_up (void *opaque)
{
  struct origin_bdev *b = opaque;

  pthread_mutex_lock (&b->lock);
  b->gave_up = true;
  pthread_cond_broadcast (&b->cond);
  pthread_mutex_unlock (&b->lock);
}

static void
close_source (void *opaque)
{
  struct origin_bdev *b = opaque;

  pthread_mutex_lock (&b->lock);
  b->closed++;
  pthread_cond_broadcast (&b->cond);
  pthread_mutex_unlock (&b->lock);
}

struct origin_source
origin_bdev_source (struct origin_bdev *b)
{
  return (struct origin_source) {
    .bdev = &b->bdev, .uri = "nbd://test", .give_up = give_up,
    .close = close_source, .opaque = b,
  };
}

void
origin_check (struct origin *o)
{
  uint64_t known = o->pages, i, first, end;

  for (i = 0; origin_missing (o, i, o->pages, &first, &end); i = end)
    known -= end - first;
  if (atomic_load (&o->known) != known)
    broken ("what is known is miscounted (O7)");
  if (atomic_load (&o->set->held) !=
      (int64_t) (disk_mapped (o->cache) >> PAGE_SHIFT))
    broken ("the memory of the cache is miscounted (O7)");
}
