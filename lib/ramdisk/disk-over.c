/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk over an origin: what its holes mean.  disk.h has the contract, and
 * disk-origin.h the design.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "ramdisk/copy.h"
#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"

/* ---------------------------------------------------------- life cycle */

/* Of a disk that nobody uses yet. */
static void
store_end (struct disk *d, uint64_t end)
{
  record_store_origin_end (d->tree.record, end);
  atomic_store_explicit (&d->origin_end, end, memory_order_relaxed);
}

struct disk *
disk_new_over (struct arena *arena, uint64_t size, uint32_t sector_size,
               struct origin *origin)
{
  struct disk *d = disk_new (arena, size, sector_size);

  if (d)
    disk_set_origin (d, origin, min (size, origin_size (origin)));
  return d;
}

void
disk_set_origin (struct disk *d, struct origin *origin, uint64_t end)
{
  d->zeros = PAGE_ZERO;
  d->origin = origin_ref (origin);
  store_end (d, end);
  record_set_origin (d->tree.record, origin_cache (origin)->tree.record);
}

void
disk_restore_over (struct disk *d, struct origin *origin)
{
  d->zeros = PAGE_ZERO;
  d->origin = origin_ref (origin);
}

void
disk_share_origin (struct disk *clone, struct disk *d)
{
  if (d->origin == NULL)
    return;
  clone->zeros = d->zeros;
  clone->origin = origin_ref (d->origin);
  record_set_origin (clone->tree.record,
                     origin_cache (d->origin)->tree.record);
  store_end (clone, atomic_load_explicit (&d->origin_end,
                                          memory_order_relaxed));
}

void
disk_leave_origin (struct disk *d, bool stays)
{
  if (d->origin && stays)
    origin_stays (d->origin);
  origin_put (d->origin);
}

/* ---------------------------------------------------------------- read */

/* A part of a section, on its way. */
struct over {
  struct disk *d;
  uint64_t end;                 /* d->origin_end */
  struct node *leaf;            /* of the disk, or NULL … */
  page_t all;                   /* … and then what all its pages are */
  struct origin_leaf origin;
};

/* Where the content of a page is.  PAGE_HOLE: it must be fetched. */
static inline page_t
over_find (struct over *v, uint64_t index)
{
  page_t page = v->leaf ? leaf_load (v->leaf, index) : v->all;

  if (page != PAGE_HOLE)
    return page;
  if (index << PAGE_SHIFT >= v->end)
    return PAGE_ZERO;
  return origin_find (v->d->origin, index, &v->origin);
}

/* Does a page hold more of the origin than the disk shows?  Only the one with
 * the end can.  Ask before over_find: a concurrent write may link a page of the
 * disk's own in between, and the origin's that over_find gave must be cut all
 * the same.
 */
static inline bool
is_cut (const struct over *v, uint64_t index)
{
  return index == v->end >> PAGE_SHIFT && v->end % PAGE_BYTES &&
    (v->leaf ? leaf_load (v->leaf, index) : v->all) == PAGE_HOLE;
}

/* Copy a page, or neighbours in the arena, all of which are there. */
static void
over_copy (struct over *v, char *buf, page_t page, size_t n, uint64_t offset)
{
  if (page == PAGE_ZERO)
    memset (buf, 0, n);
  else
    copy_out (buf, (char *) arena_addr (v->d->tree.arena, page) +
              offset % PAGE_BYTES, n);
}

/* Read as far as everything is there.  Returns how many bytes, and in *missing
 * how many follow that must be fetched.  In a reader section.
 */
static size_t
read_there (struct over *v, char *buf, size_t len, uint64_t offset,
            size_t *missing)
{
  size_t done = 0;

  *missing = 0;
  while (done < len) {
    uint64_t at = offset + done, index = at >> PAGE_SHIFT;
    size_t n = page_len (at, len - done);
    bool cut = is_cut (v, index);
    page_t first = over_find (v, index), next = first, page;

    if (first == PAGE_HOLE)
      break;
    if (cut) {
      size_t in = at < v->end ? min (n, v->end - at) : 0;

      over_copy (v, buf + done, first, in, at);
      memset (buf + done + in, 0, n - in);
      done += n;
      continue;
    }
    while (done + n < len) {
      if (is_cut (v, ++index))
        break;
      page = over_find (v, index);
      if (first >= PAGE_FIRST ? page != ++next : page != first)
        break;
      n += min (PAGE_BYTES, len - done - n);
    }
    STRESS_POINT ();
    over_copy (v, buf + done, first, n, at);
    done += n;
  }
  while (done + *missing < len) {
    uint64_t at = offset + done + *missing;

    if (over_find (v, at >> PAGE_SHIFT) != PAGE_HOLE)
      break;
    *missing += page_len (at, len - done - *missing);
  }
  return done;
}

/* The same from the start of a section on.  -1: the disk has become smaller. */
static ssize_t
read_section (struct disk *d, char *buf, size_t len, uint64_t offset,
              size_t *missing)
{
  struct over v = { .d = d };
  uint64_t index = offset >> PAGE_SHIFT, span;
  ssize_t n = -1;

  rcu_enter ();
  if (in_range (d, len, offset)) {
    v.end = atomic_load_explicit (&d->origin_end, memory_order_acquire);
    v.all = tree_find (&d->tree, index, &span);
    if (v.all >= PAGE_FIRST) {
      v.leaf = node_at (d->tree.arena, v.all);
      tree_prefetch (&d->tree, v.all, slot_index (index, 1),
                     offset % PAGE_BYTES, len);
    }
    n = read_there (&v, buf, len, offset, missing);
  }
  rcu_exit ();
  if (v.origin.known)
    for (; index << PAGE_SHIFT < offset + len; index += ORIGIN_CLUSTER)
      origin_used (d->origin, index);
  return n;
}

/* Read what was missing; beyond the origin's end there are zeros. */
static int
read_missing (struct disk *d, char *buf, size_t len, uint64_t offset,
              uint64_t more)
{
  uint64_t end = atomic_load_explicit (&d->origin_end, memory_order_acquire);
  uint64_t in = offset < end ? min (len, end - offset) : 0;

  memset (buf + in, 0, len - in);
  return in ? origin_read (d->origin, buf, in, offset, more) : 0;
}

int
disk_read_over (struct disk *d, char *buf, uint64_t count, uint64_t offset)
{
  while (count > 0) {
    size_t len = section_len (offset, count), missing = 0;
    ssize_t n = read_section (d, buf, len, offset, &missing);

    if (n == -1) {
      errno = EINVAL;
      return -1;
    }
    if (missing > 0) {
      if (read_missing (d, buf + n, missing, offset + n,
                        count - n - missing) == -1)
        return -1;
      n += missing;
    }
    buf += n;
    count -= n;
    offset += n;
  }
  return 0;
}

int
disk_fetch (struct disk *d, uint64_t count, uint64_t offset)
{
  char buf[PAGE_BYTES];

  if (rcu_prepare () == -1)
    return -1;
  if (d->origin == NULL)
    return 0;
  while (count > 0) {
    size_t len = section_len (offset, count), missing = 0, n;
    struct over v = { .d = d };
    uint64_t i, index = offset >> PAGE_SHIFT, span;
    uint64_t last = (offset + len - 1) >> PAGE_SHIFT;
    bool hole = false;

    rcu_enter ();
    if (in_range (d, len, offset)) {
      v.end = atomic_load_explicit (&d->origin_end, memory_order_acquire);
      v.all = tree_find (&d->tree, index, &span);
      if (v.all >= PAGE_FIRST)
        v.leaf = node_at (d->tree.arena, v.all);
      for (i = index; i <= last && !hole; i++)
        hole = over_find (&v, i) == PAGE_HOLE;
      missing = hole ? i - 1 : 0;
    }
    rcu_exit ();
    n = len;
    if (hole) {
      uint64_t at = missing << PAGE_SHIFT;

      /* A run around it comes with it. */
      if (read_missing (d, buf, PAGE_BYTES, at,
                        offset + count > at + PAGE_BYTES
                        ? offset + count - at - PAGE_BYTES : 0) == -1)
        return -1;
      n = at + PAGE_BYTES > offset ? min (at + PAGE_BYTES - offset, len) : len;
    }
    offset += n;
    count -= n;
  }
  return 0;
}

/* ------------------------------------------------- parts of pages change */

/* Is the page of offset a hole that means the origin's content? */
static bool
is_origins (struct disk *d, uint64_t offset)
{
  uint64_t span;
  page_t page;

  rcu_enter ();
  page = tree_find (&d->tree, offset >> PAGE_SHIFT, &span);
  if (page >= PAGE_FIRST)
    page = leaf_load (node_at (d->tree.arena, page), offset >> PAGE_SHIFT);
  rcu_exit ();
  return page == PAGE_HOLE && is_over (d, offset >> PAGE_SHIFT);
}

/* Link the origin's content of a page, unless something else has been linked
 * there meanwhile.
 */
static int
own_locked (struct tree_op *op, struct disk *d, char *content,
            uint64_t offset) REQUIRES (d->tree.lock)
{
  uint64_t end = atomic_load_explicit (&d->origin_end, memory_order_relaxed);
  uint64_t index = offset >> PAGE_SHIFT;
  struct node *leaf;
  page_t page;

  if (offset >= end)            /* the disk has been made smaller */
    return 0;
  if (end - offset < PAGE_BYTES)
    memset (content + (end - offset), 0, PAGE_BYTES - (end - offset));
  leaf = tree_leaf_locked (&d->tree, op, index);
  if (leaf == NULL)
    return -1;
  if (is_zero_page (content)) {
    leaf_swap (leaf, index, PAGE_HOLE, PAGE_ZERO);
    return 0;
  }
  if (leaf_load (leaf, index) != PAGE_HOLE)
    return 0;
  if (tree_op_reserve_quota (op, &d->tree, 1) == -1 ||
      tree_op_alloc (op, 1, false, &page) == -1)
    return -1;
  copy_in (arena_addr (d->tree.arena, page), content, PAGE_BYTES);
  STRESS_POINT ();
  rcu_enter ();
  tree_set_owner_generation (&d->tree, page);
  if (leaf_swap (leaf, index, PAGE_HOLE, page)) {
    tree_count (&d->tree, 1, 1);
    tree_op_quota_spent (op, 1);
    rcu_exit ();
  }
  else {
    rcu_exit ();
    tree_op_unalloc (op, page);
  }
  return 0;
}

/* The page of offset is about to change in part. */
static int
fetch_edge (struct disk *d, uint64_t offset, struct edges *e)
{
  offset &= ~(uint64_t) (PAGE_BYTES - 1);
  if ((e->n > 0 && e->offset[0] == offset) || !is_origins (d, offset))
    return 0;
  if (origin_read (d->origin, e->content[e->n], PAGE_BYTES, offset, 0) == -1)
    return -1;
  e->data += !is_zero_page (e->content[e->n]);
  e->offset[e->n++] = offset;
  return 0;
}

int
disk_fetch_edges (struct disk *d, uint64_t count, uint64_t offset,
                  struct edges *e)
{
  uint64_t end = offset + count;

  e->n = e->data = 0;
  if (offset % PAGE_BYTES && fetch_edge (d, offset, e) == -1)
    return -1;
  return end % PAGE_BYTES ? fetch_edge (d, end - 1, e) : 0;
}

int
disk_own_edges (struct tree_op *op, struct disk *d, struct edges *e)
{
  unsigned i;
  int r = 0;

  tree_lock (&d->tree);
  for (i = 0; i < e->n && r == 0; i++)
    r = own_locked (op, d, e->content[i], e->offset[i]);
  tree_unlock (&d->tree);
  return r;
}
