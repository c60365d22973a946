/* SPDX-License-Identifier: BSD-3-Clause */
/* The local side. */

#include <config.h>

#include <errno.h>

#include <nbdkit-filter.h>

#include "side-local.h"

static struct local *
local_of (struct side *s)
{
  return (struct local *) s;
}

static nbdkit_next *
begin (struct side *s) NO_TSA
{
  struct local *l = local_of (s);

  if (l->lock)
    mutex_lock (l->lock);
  return l->next;
}

/* err points to what the request sets: as an argument of this it could be read
 * before the request is made.
 */
static int
end (struct side *s, int r, const int *err) NO_TSA
{
  struct local *l = local_of (s);

  if (l->lock)
    mutex_unlock (l->lock);
  if (r == -1)
    errno = *err;
  return r;
}

static uint32_t
nbdkit_flags (uint32_t flags)
{
  return (flags & SIDE_FUA ? NBDKIT_FLAG_FUA : 0) |
    (flags & SIDE_MAY_TRIM ? NBDKIT_FLAG_MAY_TRIM : 0) |
    (flags & SIDE_FAST_ZERO ? NBDKIT_FLAG_FAST_ZERO : 0) |
    (flags & SIDE_REQ_ONE ? NBDKIT_FLAG_REQ_ONE : 0);
}

/* Reads and writes are cut at the plugin's maximum. */
static uint32_t
part (const struct side *s, uint32_t count)
{
  uint32_t max = s->info.block_max;

  return max && count > max ? max : count;
}

static int
local_read (struct side *s, void *buf, uint32_t count, uint64_t offset)
{
  int r = 0, err = 0;

  while (count && r == 0) {
    uint32_t n = part (s, count);
    nbdkit_next *next = begin (s);

    r = end (s, next->pread (next, buf, n, offset, 0, &err), &err);
    buf = (char *) buf + n;
    count -= n;
    offset += n;
  }
  return r;
}

static int
local_write (struct side *s, const void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  int r = 0, err = 0;

  while (count && r == 0) {
    uint32_t n = part (s, count);
    nbdkit_next *next = begin (s);

    r = end (s, next->pwrite (next, buf, n, offset, nbdkit_flags (flags),
                              &err), &err);
    buf = (const char *) buf + n;
    count -= n;
    offset += n;
  }
  return r;
}

static int
local_zero (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  nbdkit_next *next = begin (s);
  int err = 0;

  return end (s, next->zero (next, count, offset, nbdkit_flags (flags), &err),
              &err);
}

static int
local_trim (struct side *s, uint32_t count, uint64_t offset, uint32_t flags)
{
  nbdkit_next *next = begin (s);
  int err = 0;

  return end (s, next->trim (next, count, offset, nbdkit_flags (flags), &err),
              &err);
}

static int
local_flush (struct side *s)
{
  nbdkit_next *next = begin (s);
  int err = 0;

  return end (s, next->flush (next, 0, &err), &err);
}

static int
local_cache (struct side *s, uint32_t count, uint64_t offset)
{
  nbdkit_next *next = begin (s);
  int err = 0;

  return end (s, next->cache (next, count, offset, 0, &err), &err);
}

/* Pass the extents on, cut to what was asked for. */
static int
give_extents (const struct nbdkit_extents *list, uint64_t end_offset,
              side_extent_fn fn, void *opaque)
{
  size_t n = nbdkit_extents_count (list), i;

  for (i = 0; i < n; i++) {
    struct nbdkit_extent e = nbdkit_get_extent (list, i);
    uint32_t type = (e.type & NBDKIT_EXTENT_HOLE ? SIDE_HOLE : 0) |
      (e.type & NBDKIT_EXTENT_ZERO ? SIDE_ZERO : 0);

    if (e.offset >= end_offset)
      break;
    if (e.length > end_offset - e.offset)
      e.length = end_offset - e.offset;
    if (fn (opaque, e.offset, e.length, type) == -1)
      return -1;
  }
  return 0;
}

static int
local_extents (struct side *s, uint32_t count, uint64_t offset,
               uint32_t flags, side_extent_fn fn, void *opaque)
{
  struct nbdkit_extents *list = nbdkit_extents_new (offset, s->info.size);
  nbdkit_next *next;
  int r, err = 0;

  if (list == NULL)
    return -1;
  next = begin (s);
  r = end (s, next->extents (next, count, offset, nbdkit_flags (flags), list,
                             &err), &err);
  if (r == 0 && nbdkit_extents_count (list) == 0) {
    errno = EIO;
    r = -1;
  }
  if (r == 0)
    r = give_extents (list, offset + count, fn, opaque);
  err = errno;
  nbdkit_extents_free (list);
  errno = err;
  return r;
}

/* The context is nbdkit's, or the pair's (pairs.c). */
static void
local_close (struct side *s)
{
  (void) s;
}

static const struct side_ops local_ops = {
  .read = local_read,
  .write = local_write,
  .zero = local_zero,
  .trim = local_trim,
  .flush = local_flush,
  .cache = local_cache,
  .extents = local_extents,
  .close = local_close,
};

/* Each of these must have been asked before nbdkit lets a request through. */
static int
ask (nbdkit_next *next, struct side_info *i)
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
  *i = (struct side_info) {
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
local_init (struct local *l, nbdkit_next *next, struct mutex *lock)
{
  int r, err;

  *l = (struct local) {
    .side = { .ops = &local_ops }, .next = next, .lock = lock,
  };
  begin (&l->side);
  r = ask (next, &l->side.info);
  err = errno;
  return end (&l->side, r, &err);
}
