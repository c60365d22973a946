/* SPDX-License-Identifier: BSD-3-Clause */
/* Zero, trim, and zeros in writes that become holes.  See disk.h. */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "ramdisk/disk-parts.h"
#include "ramdisk/copy.h"
#include "ramdisk/disk.h"

/* The whole pages of a zero or trim request, and what they become. */
struct fill {
  uint64_t first, stop;         /* pages, stop not included */
  uint64_t end;                 /* first byte after the request */
  page_t with;                  /* PAGE_HOLE or PAGE_ZERO */
  bool emptied;                 /* the leaf is empty now, and could be freed */
  bool beyond;                  /* refused: the disk ends before the range */
};

static void
fill_init (struct fill *f, uint64_t count, uint64_t offset, page_t with)
{
  f->first = (offset + PAGE_BYTES - 1) >> PAGE_SHIFT;
  f->stop = (offset + count) >> PAGE_SHIFT;
  f->end = offset + count;
  f->with = with;
  f->emptied = false;
  f->beyond = false;
}

/* Refuse the rest: the disk has been made smaller meanwhile. */
static int
is_beyond (struct fill *f)
{
  f->beyond = true;
  errno = ENOSPC;
  return -1;
}

/* How many whole leaves the rest of the range covers. */
static int64_t
whole_leaves (const struct fill *f)
{
  return (int64_t) (f->stop / NODE_SLOTS) -
    (int64_t) ((f->first + NODE_SLOTS - 1) / NODE_SLOTS);
}

/* Whether a leaf is empty.  Begins where something is most likely, after what
 * was just trimmed.
 */
static bool
leaf_is_empty (struct node *leaf, uint64_t from)
{
  uint64_t i;

  for (i = 0; i < NODE_SLOTS; i++)
    if (leaf_load (leaf, from + i) != PAGE_HOLE)
      return false;
  return true;
}

/* Continue without the lock.  Returns how many pages are as they should be; 0
 * if the lock is needed, or is better because whole subtrees can be unlinked at
 * once.  In a reader section.
 */
static uint64_t
fill_fast (struct tree_op *op, struct disk *d, struct fill *f)
{
  uint64_t want = f->stop - f->first, span, i;
  page_t page = tree_find (&d->tree, f->first, &span), old;
  struct node *leaf;

  if (page == f->with)
    return min (want, span);
  if (whole_leaves (f) >= 2)
    return 0;
  page = tree_find_exclusive (&d->tree, f->first, &span);
  if (page == WRITER_MUST_LOCK || page < PAGE_FIRST)
    return 0;
  STRESS_POINT ();
  leaf = node_at (d->tree.arena, page);
  want = min (min (want, span), DISK_SECTION_PAGES);
  for (i = 0; i < want; i++) {
    do
      old = leaf_load (leaf, f->first + i);
    while (old != f->with && !leaf_swap (leaf, f->first + i, old, f->with));
    if (old >= PAGE_FIRST) {
      retire (&op->retired, old, 0);
      tree_count (&d->tree, -1, -(int64_t) tree_owns (&d->tree, old));
    }
  }
  f->emptied = f->with == PAGE_HOLE && leaf_is_empty (leaf, f->first + want);
  return want;
}

/* Do the rest under the lock.  If the request reaches the end of the disk, the
 * last page counts as whole, and *tail is set: only here the end cannot move.
 */
static int
fill_locked (struct tree_op *op, struct disk *d, struct fill *f, bool *tail)
{
  uint64_t stop = f->stop;
  int r;

  tree_lock (&d->tree);
  if (f->end > disk_size (d))
    r = is_beyond (f);
  else {
    *tail = f->end == disk_size (d);
    if (*tail)
      stop = f->with == PAGE_HOLE ? UINT64_MAX : size_in_pages (f->end);
    r = f->first < stop
      ? tree_fill_locked (&d->tree, op, f->first, stop - 1, f->with) : 0;
  }
  tree_unlock (&d->tree);
  return r;
}

static int
fill_range (struct tree_op *op, struct disk *d, struct fill *f, bool *tail)
{
  *tail = false;
  if (f->first == 0 && f->end == disk_size (d))
    return fill_locked (op, d, f, tail);        /* the nodes are freed too */
  while (f->first < f->stop) {
    uint64_t n = 0;
    bool in;

    tree_op_room (op, DISK_SECTION_PAGES);
    rcu_enter ();
    in = in_range (d, 0, f->end);
    if (in)
      n = fill_fast (op, d, f);
    rcu_exit ();
    if (!in)
      return is_beyond (f);
    if (n == 0)
      return fill_locked (op, d, f, tail);
    if (f->emptied) {
      tree_lock (&d->tree);
      tree_prune_locked (&d->tree, op, f->first);
      tree_unlock (&d->tree);
      f->emptied = false;
    }
    f->first += n;
  }
  if (f->end % PAGE_BYTES && f->end == disk_size (d))
    return fill_locked (op, d, f, tail);
  return 0;
}

/* Turn a hole into an allocated zero, if it is still a hole. */
static int
allocate_zero (struct tree_op *op, struct disk *d, uint64_t offset)
{
  struct node *leaf;

  tree_lock (&d->tree);
  /* Beyond the end, there is nothing to allocate. */
  if (in_range (d, 1, offset)) {
    leaf = tree_leaf_locked (&d->tree, op, offset >> PAGE_SHIFT);
    if (leaf == NULL) {
      tree_unlock (&d->tree);
      return -1;
    }
    leaf_swap (leaf, offset >> PAGE_SHIFT, PAGE_HOLE, PAGE_ZERO);
  }
  tree_unlock (&d->tree);
  return 0;
}

/* Zero a part of a page. */
static int
zero_part (struct tree_op *op, struct disk *d, size_t len, uint64_t offset,
           page_t with)
{
  uint64_t span;
  page_t page;

  if (len == 0)
    return 0;
  rcu_enter ();
  page = tree_find (&d->tree, offset >> PAGE_SHIFT, &span);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (d->tree.arena, page), offset >> PAGE_SHIFT);
  rcu_exit ();
  if (page >= PAGE_FIRST ||
      (page == PAGE_HOLE && is_over (d, offset >> PAGE_SHIFT)))
    return disk_write_bytes (op, d, disk_zero_page, len, offset);
  if (page == PAGE_HOLE && with == PAGE_ZERO)
    return allocate_zero (op, d, offset);
  return 0;
}

/* Does zeroing a part of a page make the disk own one more? */
static bool
part_is_owed (struct disk *d, size_t len, uint64_t offset)
{
  struct arena *a = d->tree.arena;
  bool owed = false, shared;
  uint64_t span;
  page_t page;

  if (len == 0 || disk_quota (d) == TREE_NO_QUOTA)
    return false;
  rcu_enter ();
  page = tree_find_sharing (&d->tree, offset >> PAGE_SHIFT, &span, &shared);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (a, page), offset >> PAGE_SHIFT);
  /* As disk_write_bytes: zeros over shared zeros need nothing. */
  if (page >= PAGE_FIRST && !tree_owns (&d->tree, page))
    owed = !d->detect_same || (!shared && arena_refs (a, page) == 1) ||
      !copy_is_same ((char *) arena_addr (a, page) + offset % PAGE_BYTES,
                     disk_zero_page, len);
  rcu_exit ();
  return owed;
}

/* Are the whole pages of a range as they should be, so that no node needs to be
 * changed?  A leaf that is filled needs to be replaced if it is neither the
 * first nor the last.
 */
static bool
is_filled (const struct disk *d, uint64_t count, uint64_t offset, page_t with)
{
  uint64_t start = (offset + PAGE_BYTES - 1) >> PAGE_SHIFT, i, n, j;
  uint64_t stop = (offset + count) >> PAGE_SHIFT;
  bool filled = true;

  for (i = start; i < stop && filled; i += n) {
    page_t page;

    rcu_enter ();
    page = tree_find (&d->tree, i, &n);
    n = min (n, stop - i);
    if (page < PAGE_FIRST)
      filled = page == with;
    else if (i > start && i + n < stop)
      filled = false;
    else
      for (j = 0; j < n && filled; j++)
        filled = leaf_load (node_at (d->tree.arena, page), i + j) == with;
    rcu_exit ();
  }
  return filled;
}

/* The pages that a request to zero or trim needs at its two ends: the most, or
 * what it needs if pages that are filled already are no reason to copy
 * anything, because all are.
 */
static uint64_t
fill_cost (struct disk *d, uint64_t count, uint64_t offset, page_t with,
           bool most)
{
  uint64_t end = offset + count;
  uint64_t first = offset >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;

  most = most || !is_filled (d, count, offset, with);
  return tree_fill_cost (&d->tree, first, with, offset % PAGE_BYTES, most) +
    (first < last
     ? tree_fill_cost (&d->tree, last, with, end % PAGE_BYTES, most) : 0);
}

/* Where memory is full, a range that is filled already needs nothing.  more:
 * pages besides.
 */
static int
reserve_fill (struct tree_op *op, struct disk *d, uint64_t count,
              uint64_t offset, page_t with, uint64_t more)
{
  uint64_t cost = fill_cost (d, count, offset, with, true) + more;

  if (tree_op_reserve (op, cost) == 0)
    return 0;
  cost = fill_cost (d, count, offset, with, false) + more;
  return tree_op_reserve (op, cost);
}

/* At the end of the disk, the last page counts as whole (fill_locked). */
static bool
ends_whole (const struct disk *d, uint64_t count, uint64_t offset)
{
  return min (-offset % PAGE_BYTES, count) == count ||
    offset + count == disk_size (d);
}

/* edges: what disk_fetch_edges has found, or NULL. */
static int
zero_bytes (struct tree_op *op, struct disk *d, uint64_t count,
            uint64_t offset, page_t with, struct edges *edges)
{
  size_t head = min (-offset % PAGE_BYTES, count);
  size_t tail = (offset + count) % PAGE_BYTES;
  bool whole = ends_whole (d, count, offset), tail_done;
  uint64_t more = edges ? edges->data : 0, owed;
  struct fill f;

  /* For D4: all that can be refused comes before the first change. */
  owed = more + part_is_owed (d, head, offset) +
    (whole ? 0 : part_is_owed (d, tail, offset + count - tail));
  if ((owed && tree_op_reserve_quota (op, &d->tree, owed) == -1) ||
      reserve_fill (op, d, count, offset, with, more) == -1)
    return -1;
  if (edges && disk_own_edges (op, d, edges) == -1)
    return -1;
  if (zero_part (op, d, head, offset, with) == -1)
    return -1;
  if (head == count)
    return 0;
  fill_init (&f, count, offset, with);
  if (fill_range (op, d, &f, &tail_done) == -1)
    return -1;
  return tail_done ? 0 : zero_part (op, d, tail, f.end - tail, with);
}

static int __attribute__ ((noinline))
zero_edges (struct tree_op *op, struct disk *d, uint64_t count,
            uint64_t offset, page_t with)
{
  size_t head = min (-offset % PAGE_BYTES, count);
  size_t tail = (offset + count) % PAGE_BYTES;
  struct edges edges;

  if (disk_fetch_edges (d, head < count && ends_whole (d, count, offset)
                        ? count - tail : count, offset, &edges) == -1)
    return -1;
  return zero_bytes (op, d, count, offset, with, edges.n ? &edges : NULL);
}

int
disk_zero_bytes (struct tree_op *op, struct disk *d, uint64_t count,
                 uint64_t offset, page_t with)
{
  return has_edges (d, count, offset)
    ? zero_edges (op, d, count, offset, with)
    : zero_bytes (op, d, count, offset, with, NULL);
}

int
disk_zero (struct disk *d, uint64_t count, uint64_t offset, bool hole)
{
  struct tree_op op;
  int r = change_begin (d, &op, count, offset, true);

  if (r != 1)
    return r;
  return change_end (d, &op, disk_zero_bytes (&op, d, count, offset,
                                              hole ? d->zeros : PAGE_ZERO));
}

int
disk_trim (struct disk *d, uint64_t count, uint64_t offset)
{
  struct tree_op op;
  struct fill f;
  bool tail_done, changes = false;
  int r = change_begin (d, &op, count, offset, true);

  if (r != 1)
    return r;
  fill_init (&f, count, offset, d->zeros);
  r = reserve_fill (&op, d, count, offset, d->zeros, 0);
  if (r == -1)
    r = 0;      /* the range is shared: trimming would take memory and free
                 * none.  Only a hint */
  else {
    /* An empty disk stays as good as not there; a template's clone does not. */
    changes = d->origin || root_page (root_load (&d->tree)) >= PAGE_FIRST;
    r = fill_range (&op, d, &f, &tail_done);
    if (r == -1 && !f.beyond)
      r = 0;    /* a clone came in between, and no memory is left to copy */
  }
  tree_op_end (&op);
  if (r == 0 && changes)
    mark_written (d);
  return r;
}

/* -------------------------------------------------------- detect zeroes */

/* How much of the start of a request consists of pages of zeros (*zero), or of
 * other pages.
 */
static uint64_t
zero_run (const char *buf, uint64_t count, uint64_t offset, bool *zero)
{
  uint64_t n = 0;

  do {
    uint64_t part = page_len (offset + n, count - n);
    bool is_zero = part == PAGE_BYTES && is_zero_page (buf + n);

    if (n == 0)
      *zero = is_zero;
    else if (is_zero != *zero)
      break;
    n += part;
  } while (n < count);
  return n;
}

/* The pages that such a write needs, most as for fill_cost; *owed: those that
 * the disk may come to own, if it has a quota.
 */
static uint64_t
detect_cost (struct disk *d, const char *buf, uint64_t count, uint64_t offset,
             bool most, uint64_t *owed)
{
  uint64_t cost = 0, i, n;
  bool zero;

  *owed = 0;
  for (i = 0; i < count; i += n) {
    uint64_t first = (offset + i) >> PAGE_SHIFT, last;

    n = zero_run (buf + i, count - i, offset + i, &zero);
    last = (offset + i + n - 1) >> PAGE_SHIFT;
    if (zero)
      cost += fill_cost (d, n, offset + i, d->zeros, most);
    else {
      cost += tree_cost (&d->tree, first, last);
      if (disk_quota (d) != TREE_NO_QUOTA)
        *owed += tree_not_owned (&d->tree, first, last);
    }
  }
  return cost;
}

/* edges: what disk_fetch_edges has found, or NULL. */
static int
write_detect (struct tree_op *op, struct disk *d, const char *buf,
              uint64_t count, uint64_t offset, struct edges *edges)
{
  uint64_t cost, owed, i, n;
  bool zero;
  int r;

  /* For D4: the whole request, before the first change. */
  cost = detect_cost (d, buf, count, offset, true, &owed);
  r = tree_op_reserve_quota (op, &d->tree, owed);
  if (r == 0 && tree_op_reserve (op, cost) == -1)
    r = tree_op_reserve (op, detect_cost (d, buf, count, offset, false,
                                          &owed));
  if (r == 0 && edges)
    r = disk_own_edges (op, d, edges);
  for (i = 0; i < count && r == 0; i += n) {
    n = zero_run (buf + i, count - i, offset + i, &zero);
    r = zero ? disk_zero_bytes (op, d, n, offset + i, d->zeros)
      : disk_write_bytes (op, d, buf + i, n, offset + i);
  }
  return r;
}

static int __attribute__ ((noinline))
write_detect_edges (struct tree_op *op, struct disk *d, const char *buf,
                    uint64_t count, uint64_t offset)
{
  struct edges edges;

  if (disk_fetch_edges (d, count, offset, &edges) == -1)
    return -1;
  return write_detect (op, d, buf, count, offset, edges.n ? &edges : NULL);
}

int
disk_write_detect (struct disk *d, const void *buf, uint64_t count,
                   uint64_t offset)
{
  struct tree_op op;
  int r = change_begin (d, &op, count, offset, false);

  if (r != 1)
    return r;
  r = has_edges (d, count, offset)
    ? write_detect_edges (&op, d, buf, count, offset)
    : write_detect (&op, d, buf, count, offset, NULL);
  return change_end (d, &op, r);
}
