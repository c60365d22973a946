/* SPDX-License-Identifier: BSD-3-Clause */
/* Where two disks differ.  disk.h has the contract. */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"

struct diff {
  struct arena *a;
  struct origin *origin[2];     /* what holes mean, or NULL … */
  uint64_t end[2];              /* … up to there, in pages, rounded up */
  uint64_t alike;               /* in pages before that, holes mean the same */
  uint64_t size;                /* of the larger disk */
  uint64_t start;               /* the first page that matters */
  uint64_t offset, length;      /* found and not yet reported */
  diff_fn fn;
  void *opaque;
  bool (*ends) (void *opaque);
};

/* A subtree in the walk: its root page, and the height of its tree.  Above its
 * own height, a tree is treated as the first child of a node that otherwise has
 * only holes.
 */
struct side {
  page_t page;
  unsigned height;
};

static struct side
side_child (struct arena *a, struct side s, unsigned level, unsigned i)
{
  if (s.height < level)
    return i == 0 ? s : (struct side) { PAGE_HOLE, level - 1 };
  if (s.page < PAGE_FIRST)
    return (struct side) { s.page, level - 1 };
  return (struct side) {
    slot_load (node_at (a, s.page), i), level - 1
  };
}

static const char *
side_data (struct arena *a, struct side s)
{
  return s.page < PAGE_FIRST ? disk_zero_page : arena_addr (a, s.page);
}

static int
diff_found (struct diff *c, uint64_t offset, uint64_t length)
{
  int r = 0;

  length = min (length, c->size - offset);
  if (c->length > 0 && c->offset + c->length == offset) {
    c->length += length;
    return 0;
  }
  if (c->length > 0)
    r = c->fn (c->opaque, c->offset, c->length);
  c->offset = offset;
  c->length = length;
  return r;
}

/* How many of n pages from index on that are a hole mean an origin's content.
 */
static uint64_t
over_origin (const struct diff *c, unsigned i, struct side s, uint64_t index,
             uint64_t n)
{
  if (s.page != PAGE_HOLE || c->origin[i] == NULL || c->end[i] <= index)
    return 0;
  return min (c->end[i] - index, n);
}

/* Do holes in that range mean the same in both disks?  A disk that was shrunk
 * may share a node with one that was not, and see zeros in its holes.
 */
static bool
holes_are_same (const struct diff *c, uint64_t index, uint64_t n)
{
  return index + n <= c->alike ||
    (index >= c->end[0] && index >= c->end[1]);
}

/* Compare where at least one side has an origin's content, which is not
 * fetched for this: what cannot be known to be the same is different.
 */
static int
diff_origins (struct diff *c, struct side a, struct side b, uint64_t index,
              uint64_t n, uint64_t over_a, uint64_t over_b)
{
  uint64_t same = index < c->alike ? min (over_a, over_b) : 0;
  uint64_t most = over_a > over_b ? over_a : over_b;

  same = min (same, c->alike - index);
  if (a.page >= PAGE_FIRST || b.page >= PAGE_FIRST)
    same = 0;
  if (index + same < c->start && c->start < index + most)
    same = c->start - index;
  if (index + most <= c->start || same >= most || n == 0)
    return 0;
  return diff_found (c, (index + same) << PAGE_SHIFT,
                     (most - same) << PAGE_SHIFT);
}

static int
diff_below (struct diff *c, struct side a, struct side b, unsigned level,
            uint64_t index)
{
  uint64_t n = level ? NODE_SLOTS * slot_span (level) : 1, i = 0;
  uint64_t over_a = over_origin (c, 0, a, index, n);
  uint64_t over_b = over_origin (c, 1, b, index, n);
  int r = 0;

  if (a.page >= PAGE_FIRST && a.page == b.page && a.height == b.height &&
      (level == 0 || holes_are_same (c, index, n)))
    return 0;
  if (a.page < PAGE_FIRST && b.page < PAGE_FIRST)
    return over_a == over_b && over_a == 0
      ? 0 : diff_origins (c, a, b, index, n, over_a, over_b);
  if (level == 0 && over_a + over_b > 0)
    return diff_origins (c, a, b, index, n, over_a, over_b);
  if (level == 0)
    return memcmp (side_data (c->a, a), side_data (c->a, b), PAGE_BYTES) == 0
      ? 0 : diff_found (c, index << PAGE_SHIFT, PAGE_BYTES);
  /* One leaf at a time: some MiB are compared in between. */
  if (level == 1 && c->ends && c->ends (c->opaque)) {
    errno = ECANCELED;
    return -1;
  }
  if (c->start > index)
    i = (c->start - index) / slot_span (level);
  for (; i < NODE_SLOTS && r == 0; i++)
    r = diff_below (c, side_child (c->a, a, level, i),
                    side_child (c->a, b, level, i), level - 1,
                    index + i * slot_span (level));
  return r;
}

int
disk_diff (struct disk *a, struct disk *b, uint64_t offset, diff_fn fn,
           bool (*ends) (void *opaque), void *opaque)
{
  struct disk *disk[2] = { a, b };
  struct diff c = {
    .a = a->tree.arena, .start = offset >> PAGE_SHIFT, .fn = fn,
    .ends = ends, .opaque = opaque
  };
  uint64_t root[2], end[2];
  struct side side[2];
  unsigned i, level = 0;
  int64_t unused;
  int r;

  if (rcu_prepare () == -1)
    return -1;
  /* With our own references, both stay unchanged during the walk. */
  for (i = 0; i < 2; i++) {
    tree_lock_first (&disk[i]->tree);
    tree_share_locked (&disk[i]->tree, &root[i], &unused);
    if (c.size < disk_size (disk[i]))
      c.size = disk_size (disk[i]);
    c.origin[i] = disk[i]->origin;
    end[i] = atomic_load_explicit (&disk[i]->origin_end, memory_order_relaxed);
    c.end[i] = size_in_pages (end[i]);
    tree_unlock (&disk[i]->tree);
    side[i].page = root_page (root[i]);
    side[i].height = root_height (root[i]);
    if (level < side[i].height)
      level = side[i].height;
  }
  /* In the page where one of two unequal ends is, the other disk sees more. */
  if (c.origin[0] == c.origin[1])
    c.alike = end[0] == end[1]
      ? UINT64_MAX : min (end[0], end[1]) >> PAGE_SHIFT;
  r = diff_below (&c, side[0], side[1], level, 0);
  if (r == 0 && c.length > 0)
    r = fn (opaque, c.offset, c.length);
  for (i = 0; i < 2; i++)
    tree_unshare (a->tree.arena, root[i]);
  return r;
}

/* --------------------------------------------------------------- sharing */

/* Do the subtrees have a page in common?  Returns 1, 0, or -1. */
static int
shares_below (struct diff *c, struct side a, struct side b, unsigned level)
{
  unsigned i;
  int r = 0;

  if (a.page < PAGE_FIRST || b.page < PAGE_FIRST)
    return 0;
  if (a.page == b.page && a.height == b.height)
    return 1;
  if (level == 0)
    return 0;
  if (level == 1 && c->ends && c->ends (c->opaque)) {
    errno = ECANCELED;
    return -1;
  }
  for (i = 0; i < NODE_SLOTS && r == 0; i++)
    r = shares_below (c, side_child (c->a, a, level, i),
                      side_child (c->a, b, level, i), level - 1);
  return r;
}

int
disk_shares (struct disk *a, struct disk *b, bool (*ends) (void *opaque),
             void *opaque)
{
  struct disk *disk[2] = { a, b };
  struct diff c = { .a = a->tree.arena, .ends = ends, .opaque = opaque };
  struct side side[2];
  uint64_t root[2];
  int64_t unused;
  unsigned i;
  int r;

  if (rcu_prepare () == -1)
    return -1;
  if (a->origin && a->origin == b->origin)
    return 1;
  for (i = 0; i < 2; i++) {
    tree_lock_first (&disk[i]->tree);
    tree_share_locked (&disk[i]->tree, &root[i], &unused);
    tree_unlock (&disk[i]->tree);
    side[i] = (struct side) { root_page (root[i]), root_height (root[i]) };
  }
  r = shares_below (&c, side[0], side[1], side[0].height > side[1].height
                    ? side[0].height : side[1].height);
  for (i = 0; i < 2; i++)
    tree_unshare (a->tree.arena, root[i]);
  return r;
}

/* --------------------------------------------------------------- changes */

struct changes {
  struct arena *a;
  uint64_t pages;               /* of the disk */
  changed_fn fn;
  void *opaque;
};

static int
changes_below (struct changes *c, struct side was, struct side is,
               unsigned level, uint64_t index)
{
  uint64_t n = level ? NODE_SLOTS * slot_span (level) : 1;
  unsigned i;
  int r = 0;

  if (index >= c->pages || (was.page == PAGE_HOLE && is.page == PAGE_HOLE) ||
      (was.page == is.page && was.height == is.height))
    return 0;
  n = min (n, c->pages - index);
  if (is.page == PAGE_HOLE || (is.page == PAGE_ZERO && is.height >= level))
    return c->fn (c->opaque, index, n, is.page == PAGE_HOLE
                  ? EXTENT_HOLE : EXTENT_ZERO, NULL);
  if (level == 0)
    return was.page >= PAGE_FIRST &&
      memcmp (side_data (c->a, was), side_data (c->a, is), PAGE_BYTES) == 0
      ? 0 : c->fn (c->opaque, index, 1, EXTENT_DATA, side_data (c->a, is));
  for (i = 0; i < NODE_SLOTS && r == 0; i++)
    r = changes_below (c, side_child (c->a, was, level, i),
                       side_child (c->a, is, level, i), level - 1,
                       index + i * slot_span (level));
  return r;
}

int
disk_changes (struct disk *before, struct disk *d, changed_fn fn,
              void *opaque)
{
  struct changes c = {
    .a = d->tree.arena, .pages = size_in_pages (disk_size (d)), .fn = fn,
    .opaque = opaque
  };
  const uint64_t was = root_load (&before->tree), is = root_load (&d->tree);
  const struct side sides[2] = {
    { root_page (was), root_height (was) }, { root_page (is), root_height (is) }
  };

  return changes_below (&c, sides[0], sides[1],
                        sides[0].height > sides[1].height
                        ? sides[0].height : sides[1].height, 0);
}
