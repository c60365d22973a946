/* SPDX-License-Identifier: BSD-3-Clause */
/* Extents: where a disk has data.  disk.h has the contract. */

#include <config.h>

#include <errno.h>

#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"

#define EXTENT_BUFFER 128

struct extents {
  struct disk *d;
  uint64_t offset;              /* where the request begins */
  uint64_t stop;                /* of the request, in whole sectors and pages */
  uint64_t size;                /* of the disk */
  uint64_t index;               /* the page that the walk has reached */
  bool sharing;                 /* tell shared data from the disk's own */
  unsigned n;
  struct { uint64_t index; page_t type; } found[EXTENT_BUFFER + 1];
};

/* Types during the walk: PAGE_HOLE, PAGE_ZERO and these. */
#define TYPE_DATA PAGE_FIRST
#define TYPE_SHARED (PAGE_FIRST + 1)

static inline page_t
extent_type (const struct extents *e, page_t page, bool shared)
{
  if (page < PAGE_FIRST)
    return page;
  if (!e->sharing)
    return TYPE_DATA;
  return shared || arena_refs (e->d->tree.arena, page) != 1
    ? TYPE_SHARED : TYPE_DATA;
}

/* The end of the run of slots of one type that begins before i. */
static unsigned
run_end (const struct extents *e, struct node *leaf, unsigned i, unsigned end,
         page_t type, bool shared)
{
  if (type == TYPE_DATA && !e->sharing)
    while (i < end && leaf_load (leaf, i) >= PAGE_FIRST)
      i++;
  else if (type < PAGE_FIRST)
    while (i < end && leaf_load (leaf, i) == type)
      i++;
  else
    while (i < end && extent_type (e, leaf_load (leaf, i), shared) == type)
      i++;
  return i;
}

/* Record that the type changes at index. */
static inline void
extent_begins (struct extents *e, uint64_t index, page_t type)
{
  if (e->n == 0 || e->found[e->n - 1].type != type) {
    e->found[e->n].index = index;
    e->found[e->n++].type = type;
  }
}

/* Examine one leaf, or a uniform range, until last or until the buffer is full.
 * In a reader section.
 */
static void
extents_step (struct extents *e, uint64_t last)
{
  uint64_t span, base;
  bool shared;
  page_t page = tree_find_sharing (&e->d->tree, e->index, &span, &shared);
  struct node *leaf;
  unsigned i, end;

  if (page < PAGE_FIRST) {
    extent_begins (e, e->index, page);
    e->index = span > UINT64_MAX - e->index ? UINT64_MAX : e->index + span;
    return;
  }
  leaf = node_at (e->d->tree.arena, page);
  base = e->index & ~(uint64_t) (NODE_SLOTS - 1);
  end = last - base < NODE_SLOTS ? last - base + 1 : NODE_SLOTS;
  for (i = e->index - base; i < end && e->n < EXTENT_BUFFER; ) {
    page_t type = extent_type (e, leaf_load (leaf, i), shared);

    extent_begins (e, base + i, type);
    i = run_end (e, leaf, i + 1, end, type, shared);
  }
  e->index = base + i;
}

/* Holes over an origin: what is there is its to say, within the request. */
static int
report_origin (struct extents *e, uint64_t offset, uint64_t end, extent_fn fn,
               void *opaque)
{
  uint64_t over = atomic_load_explicit (&e->d->origin_end,
                                        memory_order_acquire);
  uint64_t stop = min (end, e->stop);
  int r = 0;

  if (offset < over && offset < stop)
    r = origin_extents (e->d->origin, min (over, stop) - offset, offset, fn,
                        opaque);
  if (r == 0 && over < end && offset < end && stop > over)
    r = fn (opaque, offset < over ? over : offset,
            end - (offset < over ? over : offset), EXTENT_HOLE);
  return r;
}

static int
extents_report (struct extents *e, uint64_t from, uint64_t to, page_t type,
                extent_fn fn, void *opaque)
{
  static const enum extent_type types[] = {
    [PAGE_HOLE] = EXTENT_HOLE,
    [PAGE_ZERO] = EXTENT_ZERO,
    [TYPE_DATA] = EXTENT_DATA,
    [TYPE_SHARED] = EXTENT_SHARED,
  };
  uint64_t offset = from << PAGE_SHIFT > e->offset
    ? from << PAGE_SHIFT : e->offset;
  uint64_t end = to > e->size >> PAGE_SHIFT ? e->size : to << PAGE_SHIFT;

  if (type == PAGE_HOLE && e->d->origin)
    return report_origin (e, offset, end, fn, opaque);
  return fn (opaque, offset, end - offset, types[type]);
}

/* Extents in blocks that are larger than a page, on their way to fn.  A client
 * that was told of sectors may not request a part of one.  So a block of
 * several types has the most careful one: data if any of it is data, and a hole
 * only if all of it is one.
 */
struct blocks {
  uint64_t size;                /* of a block, in bytes */
  extent_fn fn;
  void *opaque;
  uint64_t offset, length;      /* found and not yet reported */
  enum extent_type type;
  uint64_t part_offset, part;   /* of an incomplete block */
  enum extent_type part_type;
};

/* The type of a block that has parts of two types. */
static enum extent_type
stronger (enum extent_type a, enum extent_type b)
{
  static const unsigned strength[] = {
    [EXTENT_HOLE] = 0, [EXTENT_ZERO] = 1, [EXTENT_SHARED] = 2,
    [EXTENT_DATA] = 3,
  };

  return strength[a] < strength[b] ? b : a;
}

static int
blocks_add (struct blocks *b, uint64_t offset, uint64_t length,
            enum extent_type type)
{
  int r = 0;

  if (b->length > 0 && b->type == type) {
    b->length += length;
    return 0;
  }
  if (b->length > 0)
    r = b->fn (b->opaque, b->offset, b->length, b->type);
  b->offset = offset;
  b->length = length;
  b->type = type;
  return r;
}

static int
blocks_extent (void *opaque, uint64_t offset, uint64_t length,
               enum extent_type type)
{
  struct blocks *b = opaque;
  int r = 0;

  while (length > 0 && r == 0) {
    uint64_t within = offset % b->size;
    uint64_t n = within == 0 && length >= b->size
      ? length - length % b->size : min (length, b->size - within);

    if (n >= b->size)
      r = blocks_add (b, offset, n, type);
    else {
      b->part_type = b->part == 0 ? type : stronger (b->part_type, type);
      if (b->part == 0)
        b->part_offset = offset;
      b->part += n;
      if (within + n == b->size) {
        r = blocks_add (b, b->part_offset, b->part, b->part_type);
        b->part = 0;
      }
    }
    offset += n;
    length -= n;
  }
  return r;
}

/* The walk is complete. */
static int
blocks_end (struct blocks *b)
{
  int r = 0;

  if (b->part > 0)
    r = blocks_add (b, b->part_offset, b->part, b->part_type);
  if (r == 0 && b->length > 0)
    r = b->fn (b->opaque, b->offset, b->length, b->type);
  return r;
}

static int
walk_pages (struct disk *d, uint64_t count, uint64_t offset, bool sharing,
            extent_fn fn, void *opaque)
{
  struct extents e;
  uint64_t last;
  unsigned i;
  int r = 0;

  if (begin (d, count, offset, false) == -1)
    return -1;
  if (count == 0)
    return 0;
  e.d = d;
  e.sharing = sharing;
  e.offset = offset;
  e.index = offset >> PAGE_SHIFT;
  e.n = 0;
  last = (offset + count - 1) >> PAGE_SHIFT;
  e.stop = (offset + count + DISK_MAX_SECTOR - 1) &
    ~(uint64_t) (DISK_MAX_SECTOR - 1);
  while (e.index <= last) {
    bool in;

    rcu_enter ();
    e.size = disk_size (d);
    in = e.size >= offset + count;
    if (in)
      extents_step (&e, last);
    rcu_exit ();
    if (!in) {
      errno = EINVAL;
      return -1;
    }
    /* All but the last are complete; the last may continue in the next step. */
    for (i = 0; i + 1 < e.n; i++) {
      r = extents_report (&e, e.found[i].index, e.found[i + 1].index,
                          e.found[i].type, fn, opaque);
      if (r)
        return r;
    }
    e.found[0] = e.found[e.n - 1];
    e.n = 1;
  }
  return extents_report (&e, e.found[0].index, e.index, e.found[0].type, fn,
                         opaque);
}

static int
walk_extents (struct disk *d, uint64_t count, uint64_t offset, bool sharing,
              extent_fn fn, void *opaque)
{
  struct blocks b = {
    .size = d->sector_size > PAGE_BYTES ? d->sector_size : PAGE_BYTES,
    .fn = fn, .opaque = opaque
  };
  int r;

  /* A page is whole sectors.  An origin's extents may be neighbours of one
   * type, or end within a page, and are joined below.
   */
  if (d->sector_size <= PAGE_BYTES && d->origin == NULL)
    return walk_pages (d, count, offset, sharing, fn, opaque);
  r = walk_pages (d, count, offset, sharing, blocks_extent, &b);
  return r == 0 ? blocks_end (&b) : r;
}

int
disk_extents (struct disk *d, uint64_t count, uint64_t offset, extent_fn fn,
              void *opaque)
{
  return walk_extents (d, count, offset, false, fn, opaque);
}

int
disk_extents_sharing (struct disk *d, uint64_t count, uint64_t offset,
                      extent_fn fn, void *opaque)
{
  return walk_extents (d, count, offset, true, fn, opaque);
}

int
disk_exclusive (struct disk *d, uint64_t *bytes)
{
  uint64_t pages = 0, index = 0, span;

  if (rcu_prepare () == -1)
    return -1;
  for (; index < size_in_pages (disk_size (d)); index += span) {
    rcu_enter ();
    pages += tree_exclusive (&d->tree, index, &span);
    rcu_exit ();
    if (span > UINT64_MAX - index)
      break;
  }
  *bytes = pages << PAGE_SHIFT;
  return 0;
}
