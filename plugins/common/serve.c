/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that is served from a block device. */

#include <config.h>

#include <errno.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "exports.h"
#include "nbd/block-size.h"
#include "serve.h"

static struct bdev *
bdev_of (void *serve)
{
  return ((struct serve *) serve)->bdev;
}

static const struct bdev_info *
info (void *serve)
{
  return &bdev_of (serve)->info;
}

/* ----------------------------------------------------------- properties */

int64_t
serve_get_size (void *serve)
{
  return info (serve)->size;
}

int
serve_block_size (void *serve, uint32_t *minimum, uint32_t *preferred,
                  uint32_t *maximum)
{
  const struct bdev_info *i = info (serve);

  *minimum = *preferred = *maximum = 0;
  if (i->block_min > 1 || i->block_preferred || i->block_max) {
    *minimum = i->block_min;
    *preferred = i->block_preferred;
    *maximum = i->block_max;
    block_size_for_clients (minimum, preferred, maximum);
  }
  return 0;
}

int
serve_can_write (void *serve)
{
  return !info (serve)->readonly;
}

int
serve_can_flush (void *serve)
{
  return info (serve)->can_flush;
}

int
serve_can_trim (void *serve)
{
  return info (serve)->can_trim;
}

int
serve_can_zero (void *serve)
{
  return info (serve)->can_zero;
}

int
serve_can_fast_zero (void *serve)
{
  return info (serve)->can_fast_zero;
}

int
serve_can_extents (void *serve)
{
  return info (serve)->can_extents;
}

int
serve_can_fua (void *serve)
{
  return info (serve)->can_fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

int
serve_can_cache (void *serve)
{
  return info (serve)->can_cache ? NBDKIT_CACHE_NATIVE : NBDKIT_CACHE_NONE;
}

int
serve_can_multi_conn (void *serve)
{
  return info (serve)->can_multi_conn;
}

int
serve_is_rotational (void *serve)
{
  return info (serve)->rotational;
}

/* ------------------------------------------------------------ data path */

static uint32_t
bdev_flags (uint32_t flags)
{
  return (flags & NBDKIT_FLAG_FUA ? BDEV_FUA : 0) |
    (flags & NBDKIT_FLAG_MAY_TRIM ? BDEV_MAY_TRIM : 0) |
    (flags & NBDKIT_FLAG_FAST_ZERO ? BDEV_FAST_ZERO : 0) |
    (flags & NBDKIT_FLAG_REQ_ONE ? BDEV_REQ_ONE : 0);
}

static int
result (const struct serve *s, int r, const char *what, uint32_t count,
        uint64_t offset)
{
  return s->quiet ? r : request_result (r, what, count, offset);
}

int
serve_pread (void *serve, void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  (void) flags;
  return result (serve, bdev_read (bdev_of (serve), buf, count, offset),
                 "read", count, offset);
}

int
serve_pwrite (void *serve, const void *buf, uint32_t count, uint64_t offset,
              uint32_t flags)
{
  return result (serve, bdev_write (bdev_of (serve), buf, count, offset,
                                    bdev_flags (flags)),
                 "write", count, offset);
}

int
serve_zero (void *serve, uint32_t count, uint64_t offset, uint32_t flags)
{
  int r = bdev_zero (bdev_of (serve), count, offset, bdev_flags (flags));

  if (r == -1 && (errno == ENOTSUP || errno == EOPNOTSUPP)) {
    /* "Not fast" is an answer, not a failure. */
    if (flags & NBDKIT_FLAG_FAST_ZERO)
      return -1;
    /* This errno may come from a flush or a write that was a part of the zero;
     * but nbdkit asserts that a filter's zero never returns it.
     */
    errno = EIO;
  }
  return result (serve, r, "zero", count, offset);
}

int
serve_trim (void *serve, uint32_t count, uint64_t offset, uint32_t flags)
{
  return result (serve, bdev_trim (bdev_of (serve), count, offset,
                                   bdev_flags (flags)),
                 "trim", count, offset);
}

int
serve_flush (void *serve, uint32_t flags)
{
  (void) flags;
  return result (serve, bdev_flush (bdev_of (serve)), "flush", 0, 0);
}

int
serve_cache (void *serve, uint32_t count, uint64_t offset, uint32_t flags)
{
  (void) flags;
  return result (serve, bdev_cache (bdev_of (serve), count, offset), "cache",
                 count, offset);
}

/* The most that a block status answer may describe, from the request's offset
 * on.  If an answer describes more, nbdkit makes it an extent of 2^32-1 bytes,
 * which is not a multiple of a block, or fails an assertion (1.32).  No minimum
 * block size is larger than 64 KiB.
 */
#define MOST_TOLD (UINT64_C (0x100000000) - 65536)

struct told {
  struct nbdkit_extents *list;
  uint64_t end;
};

static int
add_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct told *told = opaque;
  uint32_t t = (type & BDEV_HOLE ? NBDKIT_EXTENT_HOLE : 0) |
    (type & BDEV_ZERO ? NBDKIT_EXTENT_ZERO : 0);

  if (offset >= told->end)
    return 0;
  length = bdev_extent_cut (offset, length, told->end);
  return nbdkit_add_extent (told->list, offset, length, t);
}

int
serve_extents (void *serve, uint32_t count, uint64_t offset, uint32_t flags,
               struct nbdkit_extents *list)
{
  struct told told = { list, offset + MOST_TOLD };

  return result (serve, bdev_extents (bdev_of (serve), count, offset,
                                      bdev_flags (flags), add_extent, &told),
                 "block status", count, offset);
}
