/* SPDX-License-Identifier: BSD-3-Clause */
/* Block status of an origin: what the cache knows, and else what the source
 * says.  disk-origin.h has the design.
 */

#include <config.h>

#include <errno.h>

#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"

/* A request, as far as the source must be asked. */
struct map {
  struct origin *o;
  uint64_t offset, end;         /* of the request; offset advances */
  extent_fn fn;
  void *opaque;
  int r;                        /* what fn returned */
  uint64_t extents;             /* how many the last reply had */
};

static int
map_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct map *m = opaque;
  bool zero = type & BDEV_ZERO;

  m->extents++;
  length = bdev_extent_cut (offset, length, m->o->size);
  if (zero)
    origin_mark_zeros (m->o, length, offset);
  if (offset + length <= m->offset || offset >= m->end)
    return 0;
  length = min (offset + length, m->end) - m->offset;
  m->r = m->fn (m->opaque, m->offset, length, zero ? EXTENT_HOLE
                : EXTENT_DATA);
  m->offset += length;
  errno = ECANCELED;
  return m->r ? -1 : 0;
}

/* Ask the source about a range that is not in the cache. */
static int
map_source (struct map *m)
{
  struct origin *o = m->o;
  uint64_t unit = o->block << PAGE_SHIFT, most = BDEV_MAP_LEAST;

  while (m->offset < m->end && m->r == 0) {
    uint64_t before = m->offset, from = m->offset & ~(unit - 1);
    uint64_t count = min (m->end - from, most);
    int r = -1;

    m->extents = 0;
    count = min ((count + unit - 1) & ~(unit - 1), o->size - from);
    origin_source_connect (o, false);
    if (origin_source_begin (o)) {
      if (o->source.bdev->info.can_extents)
        r = bdev_extents (o->source.bdev, count, from, 0, map_extent, m);
      origin_source_end (o);
    }
    most = bdev_map_next (most, m->extents);
    if (m->r == 0 && (r == -1 || m->offset == before)) {
      /* Nobody can tell: "data" is never wrong. */
      m->r = m->fn (m->opaque, m->offset, m->end - m->offset, EXTENT_DATA);
      m->offset = m->end;
    }
  }
  return m->r;
}

int
origin_extents (struct origin *o, uint64_t count, uint64_t offset,
                extent_fn fn, void *opaque)
{
  uint64_t stop = offset + count;
  int r = 0;

  while (offset < stop && r == 0) {
    uint64_t index = offset >> PAGE_SHIFT, span, end;
    struct origin_leaf leaf = { .known = false };
    page_t page, first;

    if (offset >= o->size)
      return fn (opaque, offset, stop - offset, EXTENT_HOLE);
    rcu_enter ();
    first = tree_find (&o->cache->tree, index, &span);
    end = index + min (span, o->pages - index);
    if (first >= PAGE_FIRST) {
      uint64_t i = index;

      first = origin_find (o, index, &leaf);
      for (i = index + 1; i < end; i++) {
        page = origin_find (o, i, &leaf);
        if (page < PAGE_FIRST ? page != first : first < PAGE_FIRST)
          break;
      }
      end = i;
    }
    rcu_exit ();
    end = min (min (end << PAGE_SHIFT, stop), end >= o->pages ? o->size : stop);
    if (first == PAGE_HOLE) {
      struct map m = {
        .o = o, .offset = offset, .end = end, .fn = fn, .opaque = opaque
      };

      r = map_source (&m);
    }
    else
      r = fn (opaque, offset, end - offset,
              first == PAGE_ZERO ? EXTENT_HOLE : EXTENT_DATA);
    offset = end;
  }
  return r;
}
