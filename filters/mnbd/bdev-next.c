/* SPDX-License-Identifier: BSD-3-Clause */
/* The next layer as a block device. */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "bdev-next.h"
#include "bdev/extents.h"
#include "plugins/common/export-name.h"

static struct bdev_next *
next_of (struct bdev *b)
{
  return (struct bdev_next *) b;
}

static nbdkit_next *
begin (struct bdev *b) NO_TSA
{
  struct next_context *c = next_of (b)->context;

  if (c->lock)
    mutex_lock (c->lock);
  if (c->name)
    export_name_announce (c->name, c->disk);
  return c->next;
}

/* err points to the variable that the request sets.  If errno were passed by
 * value, it could be read before the request is made.
 */
static int
end (struct bdev *b, int r, const int *err) NO_TSA
{
  struct next_context *c = next_of (b)->context;

  if (c->name)
    export_name_announce (NULL, 0);
  if (c->lock)
    mutex_unlock (c->lock);
  if (r == -1)
    errno = *err;
  return r;
}

static uint32_t
nbdkit_flags (uint32_t flags)
{
  return (flags & BDEV_FUA ? NBDKIT_FLAG_FUA : 0) |
    (flags & BDEV_MAY_TRIM ? NBDKIT_FLAG_MAY_TRIM : 0) |
    (flags & BDEV_FAST_ZERO ? NBDKIT_FLAG_FAST_ZERO : 0) |
    (flags & BDEV_REQ_ONE ? NBDKIT_FLAG_REQ_ONE : 0);
}

/* Reads and writes are cut at the plugin's maximum. */
static uint32_t
part (const struct bdev *b, uint32_t count)
{
  uint32_t max = b->info.block_max;

  return max && count > max ? max : count;
}

static int
next_read (struct bdev *b, void *buf, uint32_t count, uint64_t offset)
{
  int r = 0, err = 0;

  while (count && r == 0) {
    uint32_t n = part (b, count);
    nbdkit_next *next = begin (b);

    r = end (b, next->pread (next, buf, n, offset, 0, &err), &err);
    buf = (char *) buf + n;
    count -= n;
    offset += n;
  }
  return r;
}

static int
next_write (struct bdev *b, const void *buf, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  int r = 0, err = 0;

  while (count && r == 0) {
    uint32_t n = part (b, count);
    nbdkit_next *next = begin (b);

    r = end (b, next->pwrite (next, buf, n, offset, nbdkit_flags (flags),
                              &err), &err);
    buf = (const char *) buf + n;
    count -= n;
    offset += n;
  }
  return r;
}

/* Zeroes are cut at BDEV_MOST.  If a plugin's zero fails with ENOTSUP, nbdkit
 * writes zeros itself.  Before 1.44 it then writes the first 64 MiB of a larger
 * request again and again, leaves the rest as it was, and reports success.
 */
static int
next_zero (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  int r = 0, err = 0;

  while (count && r == 0) {
    uint32_t n = count < BDEV_MOST ? count : BDEV_MOST;
    nbdkit_next *next = begin (b);

    r = end (b, next->zero (next, n, offset, nbdkit_flags (flags), &err),
             &err);
    count -= n;
    offset += n;
    /* "Not fast" would be wrong now: it says that nothing was changed. */
    flags &= ~BDEV_FAST_ZERO;
  }
  return r;
}

static int
next_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  nbdkit_next *next = begin (b);
  int err = 0;

  return end (b, next->trim (next, count, offset, nbdkit_flags (flags), &err),
              &err);
}

static int
next_flush (struct bdev *b)
{
  struct bdev_next *l = next_of (b);
  struct next_context *c = l->context;
  nbdkit_next *next = begin (b);
  unsigned failures;
  int r, err = 0;

  r = end (b, next->flush (next, 0, &err), &err);
  if (r == -1) {
    atomic_store (&c->error, err);
    failures = atomic_fetch_add (&c->failures, 1) + 1;
    atomic_store (&l->seen, failures);
    errno = err;
    return -1;
  }
  failures = atomic_load (&c->failures);
  if (atomic_exchange (&l->seen, failures) == failures)
    return 0;
  errno = atomic_load (&c->error);
  return -1;
}

static int
next_cache (struct bdev *b, uint32_t count, uint64_t offset)
{
  nbdkit_next *next = begin (b);
  int err = 0;

  return end (b, next->cache (next, count, offset, 0, &err), &err);
}

/* Pass the extents on in whole blocks, because a plugin may report smaller
 * ones.
 */
static int
give_extents (const struct nbdkit_extents *list, struct extents *whole)
{
  size_t n = nbdkit_extents_count (list), i;

  for (i = 0; i < n; i++) {
    struct nbdkit_extent e = nbdkit_get_extent (list, i);
    uint32_t type = (e.type & NBDKIT_EXTENT_HOLE ? BDEV_HOLE : 0) |
      (e.type & NBDKIT_EXTENT_ZERO ? BDEV_ZERO : 0);

    if (e.offset >= whole->end)
      break;
    if (extents_add (whole, e.offset, e.length, type) == -1)
      return -1;
  }
  return extents_end (whole);
}

/* The most that nbdkit can be asked about at a time: whole blocks. */
#define MOST_EXTENTS(b) (UINT32_MAX & ~(uint64_t) ((b)->info.block_min - 1))

static int
next_extents (struct bdev *b, uint64_t count, uint64_t offset,
              uint32_t flags, bdev_extent_fn fn, void *opaque)
{
  struct nbdkit_extents *list = nbdkit_extents_new (offset, b->info.size);
  struct extents whole;
  nbdkit_next *next;
  int r, err = 0;

  if (list == NULL)
    return -1;
  if (count > MOST_EXTENTS (b))
    count = MOST_EXTENTS (b);
  next = begin (b);
  r = end (b, next->extents (next, count, offset, nbdkit_flags (flags), list,
                             &err), &err);
  if (r == 0 && nbdkit_extents_count (list) == 0) {
    errno = EIO;
    r = -1;
  }
  extents_init (&whole, b->info.block_min, b->info.size, offset, count, fn,
                opaque);
  if (r == 0)
    r = give_extents (list, &whole);
  err = errno;
  nbdkit_extents_free (list);
  errno = err;
  return r;
}

/* The context belongs to nbdkit or to the instance (instances.c). */
static void
next_close (struct bdev *b)
{
  (void) b;
}

static const struct bdev_ops next_ops = {
  .read = next_read,
  .write = next_write,
  .zero = next_zero,
  .trim = next_trim,
  .flush = next_flush,
  .cache = next_cache,
  .extents = next_extents,
  .close = next_close,
};

/* nbdkit requires each of these to be asked before it lets a request through.
 */
static int
ask (nbdkit_next *next, struct bdev_info *i)
{
  int64_t size = next->get_size (next);
  int writable = next->can_write (next), flush = next->can_flush (next);
  int trim = next->can_trim (next), zero = next->can_zero (next);
  int fast_zero = next->can_fast_zero (next), fua = next->can_fua (next);
  int extents = next->can_extents (next), cache = next->can_cache (next);
  int multi = next->can_multi_conn (next);
  int rotational = next->is_rotational (next);
  uint32_t minimum, preferred, maximum;

  if (size == -1 || writable == -1 || flush == -1 || trim == -1 ||
      zero == -1 || fast_zero == -1 || fua == -1 || extents == -1 ||
      cache == -1 || multi == -1 || rotational == -1 ||
      next->block_size (next, &minimum, &preferred, &maximum) == -1)
    return -1;
  *i = (struct bdev_info) {
    .size = size,
    .readonly = !writable,
    .can_flush = flush,
    .can_fua = fua > NBDKIT_FUA_NONE,
    .can_trim = trim,
    .can_zero = zero > NBDKIT_ZERO_NONE,
    .can_fast_zero = fast_zero,
    .can_cache = cache > NBDKIT_CACHE_NONE,
    .can_extents = extents,
    .can_multi_conn = multi,
    .rotational = rotational,
    .block_min = minimum ? minimum : 1,
    .block_preferred = preferred,
    .block_max = maximum,
  };
  return 0;
}

int
bdev_next_init (struct bdev_next *l, struct next_context *context)
{
  int r, err;

  memset (l, 0, sizeof *l);
  l->bdev.ops = &next_ops;
  l->context = context;
  atomic_init (&l->seen, atomic_load (&context->failures));
  begin (&l->bdev);
  r = ask (context->next, &l->bdev.info);
  l->bdev.info.disk = context->disk;
  l->bdev.info.cuts = context->cuts;
  err = errno;
  return end (&l->bdev, r, &err);
}

void
bdev_next_share (struct bdev_next *l, const struct bdev_next *of)
{
  memset (l, 0, sizeof *l);
  l->bdev = of->bdev;
  l->context = of->context;
  atomic_init (&l->seen, atomic_load (&of->context->failures));
}
