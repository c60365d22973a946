/* SPDX-License-Identifier: BSD-3-Clause */
/* The two disks as the cache uses them: requests of any alignment on the local
 * bdev, FUA on any origin, and error counters for both.
 *
 * Clients' requests are multiples of the origin's minimum block size, which
 * clients are told; a block is a multiple of it, too.  So only the local bdev
 * must be read around the bytes that are written.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/cache-private.h"

static int
result (struct cache *c, enum stat_kind errors, int r)
{
  if (r == -1) {
    int err = errno;

    count (c, errors, 1);
    errno = err;
  }
  return r;
}

/* ------------------------------------------------------------ the local */

/* EINVAL says that the local bdev does not have this range any more.  That it
 * is smaller than it was is known once: it still is until something was stored
 * in what was cut off.
 */
static int
local_result (struct cache *c, int r, uint32_t n, uint64_t offset)
{
  uint64_t last = (offset + n - 1) >> c->shift, old;

  if (r == -1 && errno == EINVAL &&
      last < atomic_load_explicit (&c->cut, memory_order_relaxed)) {
    old = atomic_load_explicit (&c->missing, memory_order_relaxed);
    while (last < old &&
           !atomic_compare_exchange_weak (&c->missing, &old, last))
      ;
  }
  return result (c, LOCAL_ERRORS, r);
}

/* The range to read or write in order to reach these bytes. */
struct around {
  uint64_t start, end;
};

static struct around
around (const struct bdev *local, uint32_t n, uint64_t offset)
{
  uint64_t mask = local->info.block_min - 1;

  return (struct around) { offset & ~mask, (offset + n + mask) & ~mask };
}

static bool
is_exact (struct around a, uint32_t n, uint64_t offset)
{
  return a.start == offset && a.end == offset + n;
}

static bool
is_lost (struct cache *c, struct blocks b)
{
  uint64_t i;

  for (i = b.first; i < b.end; i++)
    if (state (c, i) & LOST)
      return true;
  return false;
}

int
local_read (struct cache *c, struct bdev *local, void *buf, uint32_t n,
            uint64_t offset)
{
  struct around a = around (local, n, offset);
  CLEANUP_FREE char *bounce = NULL;

  if (atomic_load_explicit (&c->lost, memory_order_relaxed) &&
      is_lost (c, touched (c, offset, n))) {
    errno = EIO;
    return result (c, LOCAL_ERRORS, -1);
  }
  if (is_exact (a, n, offset))
    return local_result (c, bdev_read (local, buf, n, offset), n, offset);
  bounce = malloc (a.end - a.start);
  if (bounce == NULL)
    return -1;
  if (bdev_read (local, bounce, a.end - a.start, a.start) == -1)
    return local_result (c, -1, n, offset);
  memcpy (buf, bounce + (offset - a.start), n);
  return 0;
}

static int
write_any (struct bdev *local, const void *buf, uint32_t n, uint64_t offset)
{
  struct around a = around (local, n, offset);
  uint32_t min = local->info.block_min;
  CLEANUP_FREE char *bounce = NULL;

  if (is_exact (a, n, offset))
    return bdev_write (local, buf, n, offset, 0);
  bounce = malloc (a.end - a.start);
  if (bounce == NULL)
    return -1;
  if (bdev_read (local, bounce, min, a.start) == -1 ||
      (a.end - a.start > min &&
       bdev_read (local, bounce + (a.end - a.start - min), min,
                  a.end - min) == -1))
    return -1;
  memcpy (bounce + (offset - a.start), buf, n);
  return bdev_write (local, bounce, a.end - a.start, a.start, 0);
}

/* Whole blocks; the disk's last block is rounded up to the local bdev's
 * minimum.
 */
static struct around
whole (const struct cache *c, const struct bdev *local, struct blocks b)
{
  uint64_t start = block_start (c, b.first);

  return around (local, block_end (c, b.end - 1) - start, start);
}

bool
local_has (struct cache *c, struct bdev *local, uint64_t block, char *buf)
{
  struct around a = whole (c, local, (struct blocks) { block, block + 1 });

  return bdev_read (local, buf, a.end - a.start, a.start) == 0 ||
    errno != EINVAL;
}

/* Has the local bdev the end of this range?  ENOSPC says that it is full, or
 * that a write was past its end.
 */
static bool
has_end (struct cache *c, struct bdev *local, uint32_t n, uint64_t offset)
{
  CLEANUP_FREE char *buf = malloc (c->block);

  return buf == NULL ||
    local_has (c, local, (offset + n - 1) >> c->shift, buf);
}

/* What was cut off is there again. */
static int
written (struct cache *c, uint32_t n, uint64_t offset)
{
  uint64_t last = (offset + n - 1) >> c->shift;

  if (last >= atomic_load_explicit (&c->cut, memory_order_relaxed))
    atomic_store_explicit (&c->cut, NO_BLOCK, memory_order_relaxed);
  return 0;
}

int
local_write (struct cache *c, struct bdev *local, const void *buf, uint32_t n,
             uint64_t offset)
{
  uint64_t more;

  if (write_any (local, buf, n, offset) == 0)
    return written (c, n, offset);
  if (errno == ENOSPC) {
    if (!has_end (c, local, n, offset)) {
      errno = EINVAL;
      return local_result (c, -1, n, offset);
    }
    atomic_store_explicit (&c->full_at,
                           atomic_load_explicit (&c->cached,
                                                 memory_order_relaxed),
                           memory_order_relaxed);
    /* Evict more than is needed now, so that the next write does not find it
     * full again.
     */
    more = (n >> c->shift) + 1 +
      (atomic_load_explicit (&c->cached, memory_order_relaxed) >> 6);
    if (evict (c, local, more) > 0 && write_any (local, buf, n, offset) == 0)
      return written (c, n, offset);
    errno = ENOSPC;
    return -1;
  }
  return local_result (c, -1, n, offset);
}

int
local_zero (struct cache *c, struct bdev *local, struct blocks b)
{
  struct around a = whole (c, local, b);

  if (!local->info.can_zero) {
    errno = ENOTSUP;
    return -1;
  }
  return local_result (c, bdev_zero (local, a.end - a.start, a.start,
                                     BDEV_MAY_TRIM), a.end - a.start, a.start);
}

void
local_drop (struct cache *c, struct bdev *local, struct blocks b)
{
  struct around a = whole (c, local, b);
  int r = 0;

  if (local->info.can_trim)
    r = bdev_trim (local, a.end - a.start, a.start, 0);
  else if (local->info.can_zero)
    r = bdev_zero (local, a.end - a.start, a.start, BDEV_MAY_TRIM);
  result (c, LOCAL_ERRORS, r);
}

/* ----------------------------------------------------------- the origin */

int
origin_read (struct cache *c, void *buf, uint32_t n, uint64_t offset)
{
  if (result (c, ORIGIN_ERRORS, bdev_read (c->origin, buf, n, offset)) == -1)
    return -1;
  count (c, FETCHED, n);
  return 0;
}

int
origin_flush (struct cache *c, struct bdev *origin)
{
  if (!origin->info.can_flush)
    return 0;
  return result (c, ORIGIN_ERRORS, bdev_flush (origin));
}

/* The flags that the origin supports.  A flush afterwards replaces FUA. */
static uint32_t
known (const struct cache *c, uint32_t flags)
{
  return c->origin->info.can_fua ? flags : flags & ~BDEV_FUA;
}

static int
finish (struct cache *c, int r, uint32_t flags)
{
  if (result (c, ORIGIN_ERRORS, r) == -1)
    return -1;
  if (flags & BDEV_FUA && !c->origin->info.can_fua &&
      origin_flush (c, c->origin) == -1) {
    /* As the result of a fast zero this errno would say that nothing was
     * changed.
     */
    if (errno == ENOTSUP || errno == EOPNOTSUPP)
      errno = EIO;
    return -1;
  }
  return 0;
}

int
origin_write (struct cache *c, const void *buf, uint32_t n, uint64_t offset,
              uint32_t flags)
{
  return finish (c, bdev_write (c->origin, buf, n, offset, known (c, flags)),
                 flags);
}

int
origin_zero (struct cache *c, uint32_t n, uint64_t offset, uint32_t flags)
{
  return finish (c, bdev_zero (c->origin, n, offset, known (c, flags)),
                 flags);
}

int
origin_trim (struct cache *c, uint32_t n, uint64_t offset, uint32_t flags)
{
  return finish (c, bdev_trim (c->origin, n, offset, known (c, flags)),
                 flags);
}
