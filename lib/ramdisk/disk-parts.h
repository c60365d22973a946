/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of a disk share: disk.c, disk-zero.c, disk-extents.c and
 * disk-diff.c.  disk.h has the contract.
 *
 * Small functions are inline because they are on the path of reads and writes.
 */

#ifndef MRAMDISK_DISK_PARTS_H
#define MRAMDISK_DISK_PARTS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mutex.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/node.h"
#include "ramdisk/radix.h"
#include "ramdisk/rcu.h"
#include "ramdisk/records.h"

/* A page of zeros, to write and to compare with. */
extern const char disk_zero_page[PAGE_BYTES];

static inline bool
is_zero_page (const char *buf)
{
  return memcmp (buf, disk_zero_page, PAGE_BYTES) == 0;
}

static inline uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* The slot of a leaf for a page of the disk. */
static inline page_t
leaf_load (struct node *leaf, uint64_t index)
{
  return slot_load (leaf, slot_index (index, 1));
}

/* Link or unlink a page in a leaf that is exclusive.  Release: the content of
 * the page is stored before (T1).
 */
static inline bool
leaf_swap (struct node *leaf, uint64_t index, page_t old, page_t new)
{
  bool swapped = atomic_compare_exchange_strong_explicit (
    &leaf->slot[slot_index (index, 1)], &old, new,
    memory_order_acq_rel, memory_order_acquire);

  CRASH_POINT ();
  return swapped;
}

/* The length of the part of a request that is in the section of offset. */
static inline size_t
section_len (uint64_t offset, uint64_t count)
{
  const uint64_t bytes = DISK_SECTION_PAGES * PAGE_BYTES;

  static_assert (NODE_SLOTS % DISK_SECTION_PAGES == 0,
                 "a section does not cross a leaf");
  return min (count, bytes - offset % bytes);
}

/* The length of the part of a request that is in the page of offset. */
static inline size_t
page_len (uint64_t offset, uint64_t count)
{
  return min (count, PAGE_BYTES - offset % PAGE_BYTES);
}

/* Whether the range is inside the disk at this moment.  Each reader section
 * that begins after a change of the size sees it.
 */
static inline bool
in_range (const struct disk *d, uint64_t count, uint64_t offset)
{
  uint64_t size = disk_size (d);

  return offset <= size && count <= size - offset;
}

static inline int
begin (struct disk *d, uint64_t count, uint64_t offset, bool write)
{
  if (rcu_prepare () == -1)
    return -1;
  if (write && disk_is_readonly (d)) {
    errno = EROFS;
    return -1;
  }
  if (d->sector_size > 1 && (offset | count) & (d->sector_size - 1)) {
    errno = EINVAL;
    return -1;
  }
  if (!in_range (d, count, offset)) {
    errno = write ? ENOSPC : EINVAL;
    return -1;
  }
  return 0;
}

static inline uint64_t
size_in_pages (uint64_t size)
{
  return (size + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

static inline void
mark_written (struct disk *d)
{
  if (!atomic_load_explicit (&d->written, memory_order_relaxed)) {
    /* In this order: whoever finds it written may acknowledge at once.  A
     * rename changes the record under the tree's lock.
     */
    tree_lock (&d->tree);
    record_keep (d->tree.record);
    tree_unlock (&d->tree);
    atomic_store_explicit (&d->written, true, memory_order_release);
  }
}

/* Begin a request that changes the disk.  Returns 1; 0 if there is nothing to
 * do; or -1 with errno.  Only after 1, op must be ended: by change_end, or by
 * tree_op_end.
 */
static inline int
change_begin (struct disk *d, struct tree_op *op, uint64_t count,
              uint64_t offset, bool overdraft)
{
  if (begin (d, count, offset, true) == -1)
    return -1;
  if (count == 0)
    return 0;
  tree_op_begin (op, d->tree.arena, overdraft);
  return 1;
}

/* End a request that changes the disk. r: 0 if it was carried out, and counts
 * as writing to the disk; else -1 with errno.  Returns r.
 */
static inline int
change_end (struct disk *d, struct tree_op *op, int r)
{
  tree_op_end (op);
  if (r == 0)
    mark_written (d);
  return r;
}

/* Does a hole in that page mean the origin's content? */
static inline bool
is_over (const struct disk *d, uint64_t index)
{
  return d->origin && index << PAGE_SHIFT <
    atomic_load_explicit (&d->origin_end, memory_order_acquire);
}

/* A clone, which nobody uses yet, has the origin of what it was made of. */
void disk_share_origin (struct disk *clone, struct disk *d)
  REQUIRES (d->tree.lock);

/* The disk is freed.  stays: it stays in the arena's file, and so must its
 * origin.
 */
void disk_leave_origin (struct disk *d, bool stays);

/* disk_read of a disk over an origin, of a request that has begun. */
int disk_read_over (struct disk *d, char *buf, uint64_t count,
                    uint64_t offset);

/* The first and the last page of a request, if it changes only a part of them
 * and they are holes that mean the origin's content; and that content.  For D4,
 * a request first has it fetched, then reserves all that it needs, and only
 * then changes anything.  This is large: functions that other disks go through
 * do not have it on their stack.
 */
struct edges {
  unsigned n;
  unsigned data;                /* pages of them that are not all zeros */
  uint64_t offset[2];           /* bytes, of the page */
  char content[2][PAGE_BYTES];
};

/* Changes nothing.  Returns 0, or -1 with errno EIO or ENOMEM. */
int disk_fetch_edges (struct disk *d, uint64_t count, uint64_t offset,
                      struct edges *e);

/* These pages cease to be holes, and hold that content then.  Needs quota and
 * memory for them as a write of them does.  Returns 0, or -1 with errno ENOSPC
 * or EDQUOT.
 */
int disk_own_edges (struct tree_op *op, struct disk *d, struct edges *e);

/* Does a request change a page in part that may be a hole of that kind? */
static inline bool
has_edges (const struct disk *d, uint64_t count, uint64_t offset)
{
  return __builtin_expect (d->origin != NULL, false) &&
    (offset | count) % PAGE_BYTES;
}

/* Write bytes, for an operation that has begun and is not empty.  Returns 0; or
 * -1 with errno ENOSPC or EDQUOT, and then nothing has changed, except as D4
 * says.
 */
int disk_write_bytes (struct tree_op *op, struct disk *d, const char *buf,
                      uint64_t count, uint64_t offset);

/* The same for zeros. with: PAGE_HOLE or PAGE_ZERO. */
int disk_zero_bytes (struct tree_op *op, struct disk *d, uint64_t count,
                     uint64_t offset, page_t with);

#endif /* MRAMDISK_DISK_PARTS_H */
