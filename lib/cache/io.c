/* SPDX-License-Identifier: BSD-3-Clause */
/* The two sides as the cache uses them: requests of any alignment on the local
 * one, FUA on any origin, and the errors of both counted.
 *
 * Requests of clients are multiples of the origin's minimum block size, as that
 * is what they are told; and a block is one.  So only the local side needs to
 * be read around what is written.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "cache-private.h"
#include "cleanup.h"

static int
result (struct cache *c, enum figure errors, int r)
{
  if (r == -1) {
    int err = errno;

    count (c, errors, 1);
    errno = err;
  }
  return r;
}

/* ------------------------------------------------------------ the local */

/* What must be read or written to get at these bytes. */
struct around {
  uint64_t start, end;
};

static struct around
around (const struct side *local, uint32_t n, uint64_t offset)
{
  uint64_t mask = local->info.block_min - 1;

  return (struct around) { offset & ~mask, (offset + n + mask) & ~mask };
}

static bool
is_exact (struct around a, uint32_t n, uint64_t offset)
{
  return a.start == offset && a.end == offset + n;
}

int
local_read (struct cache *c, struct side *local, void *buf, uint32_t n,
            uint64_t offset)
{
  struct around a = around (local, n, offset);
  CLEANUP_FREE char *bounce = NULL;

  if (is_exact (a, n, offset))
    return result (c, LOCAL_ERRORS, side_read (local, buf, n, offset));
  bounce = malloc (a.end - a.start);
  if (bounce == NULL)
    return -1;
  if (side_read (local, bounce, a.end - a.start, a.start) == -1)
    return result (c, LOCAL_ERRORS, -1);
  memcpy (buf, bounce + (offset - a.start), n);
  return 0;
}

static int
write_any (struct side *local, const void *buf, uint32_t n, uint64_t offset)
{
  struct around a = around (local, n, offset);
  uint32_t min = local->info.block_min;
  CLEANUP_FREE char *bounce = NULL;

  if (is_exact (a, n, offset))
    return side_write (local, buf, n, offset, 0);
  bounce = malloc (a.end - a.start);
  if (bounce == NULL)
    return -1;
  if (side_read (local, bounce, min, a.start) == -1 ||
      (a.end - a.start > min &&
       side_read (local, bounce + (a.end - a.start - min), min,
                  a.end - min) == -1))
    return -1;
  memcpy (bounce + (offset - a.start), buf, n);
  return side_write (local, bounce, a.end - a.start, a.start, 0);
}

int
local_write (struct cache *c, struct side *local, const void *buf, uint32_t n,
             uint64_t offset)
{
  uint64_t more;

  if (write_any (local, buf, n, offset) == 0)
    return 0;
  if (errno == ENOSPC) {
    atomic_store_explicit (&c->full_at,
                           atomic_load_explicit (&c->cached,
                                                 memory_order_relaxed),
                           memory_order_relaxed);
    /* More than is needed now, so that not each write finds it full. */
    more = (n >> c->shift) + 1 +
      (atomic_load_explicit (&c->cached, memory_order_relaxed) >> 6);
    if (evict (c, local, more) > 0 && write_any (local, buf, n, offset) == 0)
      return 0;
    errno = ENOSPC;
    return -1;
  }
  return result (c, LOCAL_ERRORS, -1);
}

/* Whole blocks; the last of the disk up to a multiple of the local side's
 * minimum.
 */
static struct around
whole (const struct cache *c, const struct side *local, struct blocks b)
{
  uint64_t start = block_start (c, b.first);

  return around (local, block_end (c, b.end - 1) - start, start);
}

int
local_zero (struct cache *c, struct side *local, struct blocks b)
{
  struct around a = whole (c, local, b);

  if (!local->info.can_zero) {
    errno = ENOTSUP;
    return -1;
  }
  return result (c, LOCAL_ERRORS, side_zero (local, a.end - a.start, a.start,
                                             SIDE_MAY_TRIM));
}

void
local_drop (struct cache *c, struct side *local, struct blocks b)
{
  struct around a = whole (c, local, b);
  int r = 0;

  if (local->info.can_trim)
    r = side_trim (local, a.end - a.start, a.start, 0);
  else if (local->info.can_zero)
    r = side_zero (local, a.end - a.start, a.start, SIDE_MAY_TRIM);
  result (c, LOCAL_ERRORS, r);
}

/* ----------------------------------------------------------- the origin */

int
origin_read (struct cache *c, void *buf, uint32_t n, uint64_t offset)
{
  if (result (c, ORIGIN_ERRORS, side_read (c->origin, buf, n, offset)) == -1)
    return -1;
  count (c, FETCHED, n);
  return 0;
}

int
origin_flush (struct cache *c, struct side *origin)
{
  if (!origin->info.can_flush)
    return 0;
  return result (c, ORIGIN_ERRORS, side_flush (origin));
}

/* What of FUA the origin knows; the rest is a flush afterwards. */
static uint32_t
known (const struct cache *c, uint32_t flags)
{
  return c->origin->info.can_fua ? flags : flags & ~SIDE_FUA;
}

static int
finish (struct cache *c, int r, uint32_t flags)
{
  if (result (c, ORIGIN_ERRORS, r) == -1)
    return -1;
  if (flags & SIDE_FUA && !c->origin->info.can_fua)
    return origin_flush (c, c->origin);
  return 0;
}

int
origin_write (struct cache *c, const void *buf, uint32_t n, uint64_t offset,
              uint32_t flags)
{
  return finish (c, side_write (c->origin, buf, n, offset, known (c, flags)),
                 flags);
}

int
origin_zero (struct cache *c, uint32_t n, uint64_t offset, uint32_t flags)
{
  return finish (c, side_zero (c->origin, n, offset, known (c, flags)),
                 flags);
}

int
origin_trim (struct cache *c, uint32_t n, uint64_t offset, uint32_t flags)
{
  return finish (c, side_trim (c->origin, n, offset, known (c, flags)),
                 flags);
}
