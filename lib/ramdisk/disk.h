/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: bytes on top of the tree.  Knows nothing of names, nor of nbdkit.
 *
 * Size, sector size and the read-only flag are checked here in each operation,
 * since a disk can be resized under an open connection.
 *
 * What a request that crosses pages may rely on:
 *
 *   D1  When a write, zero or trim returns 0, every read that begins later
 *       sees it, on every connection.
 *   D2  Concurrent requests that overlap leave each byte as one of them wants
 *       it; a read meanwhile may see some bytes of each.
 *   D3  Concurrent requests that do not overlap do not disturb each other,
 *       however close they are.
 *   D4  A request that fails with ENOSPC for want of memory, or with EDQUOT,
 *       has changed nothing, unless other requests changed the same range, or a
 *       clone was made, while it ran; then the first part of it may have been
 *       done.
 *   D5  A clone has the content of one instant between call and return.  Of a
 *       request that runs meanwhile and crosses DISK_SECTION_PAGES it may have
 *       a part.
 *
 * Thread-safety: all may be called from any thread, except disk_free, which
 * wants to be the last.  Reads, overwrites and the filling of holes take no
 * lock; the rest takes the tree's lock inside.
 *
 * Errors: -1 with errno
 *   EINVAL  a read past the end; not a multiple of the sector size
 *   ENOSPC  a write, zero or trim past the end; no memory left
 *   EDQUOT  a write, or the zeroing of a part of a page, beyond the quota
 *   EROFS   a write, zero or trim to a read-only disk
 *   ENOMEM  no memory for this thread's bookkeeping
 */

#ifndef MRAMDISK_DISK_H
#define MRAMDISK_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "radix.h"

/* The largest disk: what the signed 64-bit sizes of nbdkit can say. */
#define DISK_MAX_SIZE ((uint64_t) INT64_MAX)

/* The smallest and largest sector size that can be set (bytes). */
#define DISK_MIN_SECTOR 512
#define DISK_MAX_SECTOR 65536

/* How many pages are read or written in one reader section: 256 KiB. */
#define DISK_SECTION_PAGES 64

struct disk {
  struct tree tree;
  _Atomic uint64_t size;        /* bytes */
  uint32_t sector_size;         /* bytes; 1: any byte can be addressed */
  atomic_bool readonly;
  atomic_bool written;          /* something was stored here once */
};

/* What an extent is, in the protocol's terms (base:allocation). */
enum extent_type {
  EXTENT_DATA,
  EXTENT_ZERO,                  /* NBD_STATE_ZERO */
  EXTENT_HOLE,                  /* NBD_STATE_HOLE | NBD_STATE_ZERO */
  EXTENT_SHARED,                /* data, shared with another disk; only from
                                 * disk_extents_sharing */
};

/* Called for each extent, in order, outside of reader sections.  Anything but
 * 0 ends the walk and is returned by it.
 */
typedef int (*extent_fn) (void *opaque, uint64_t offset, uint64_t length,
                          enum extent_type type);

/* Called for each range in which two disks differ. */
typedef int (*diff_fn) (void *opaque, uint64_t offset, uint64_t length);

/* Make an empty disk.  sector_size 0 or 1: byte-addressable.
 * Errors: EINVAL (size over DISK_MAX_SIZE, sector size no power of two in its
 * range, size not a multiple of it), ENOMEM.
 */
struct disk *disk_new (struct arena *arena, uint64_t size,
                       uint32_t sector_size);

/* Free a disk that nobody uses.  Its pages follow in the background. */
void disk_free (struct disk *d);

static inline uint64_t
disk_size (const struct disk *d)
{
  return atomic_load_explicit (&d->size, memory_order_acquire);
}

int disk_read (struct disk *d, void *buf, uint64_t count, uint64_t offset);
int disk_write (struct disk *d, const void *buf, uint64_t count,
                uint64_t offset);

/* The same, but pages of zeros that buf has at page boundaries become holes. */
int disk_write_detect (struct disk *d, const void *buf, uint64_t count,
                       uint64_t offset);

/* Make the range read as zeros, without memory: holes, or allocated zeros. */
int disk_zero (struct disk *d, uint64_t count, uint64_t offset, bool hole);

/* Make the whole pages in the range holes; the rest stays as it is. */
int disk_trim (struct disk *d, uint64_t count, uint64_t offset);

/* Report extents from offset on until at least count bytes are covered or fn
 * ends it.  Neighbours of one type are joined; the last extent may reach past
 * the range, as far as it is known.
 */
int disk_extents (struct disk *d, uint64_t count, uint64_t offset,
                  extent_fn fn, void *opaque);

/* The same, but data that is shared with other disks has a type of its own. */
int disk_extents_sharing (struct disk *d, uint64_t count, uint64_t offset,
                          extent_fn fn, void *opaque);

/* How many bytes of data would be free without the disk.  Looks at what is not
 * shared, leaf after leaf; the rest of disk_mapped is shared.
 * Errors: ENOMEM.
 */
int disk_exclusive (struct disk *d, uint64_t *bytes);

/* Change the size.  What is beyond a smaller size is freed, and reads as zeros
 * after a later growth.  Errors: EINVAL (as for disk_new), ENOSPC, ENOMEM; then
 * nothing has changed.  Read-only disks are resized too.
 */
int disk_resize (struct disk *d, uint64_t size);

/* A new disk with the content that d has at one instant between call and
 * return, at a cost that does not depend on its size.  Errors: ENOMEM.
 */
struct disk *disk_clone (struct disk *d);

/* Report where the contents of two disks differ, each as of one instant, from
 * the page of offset on.
 * The cost grows with what the two do not share.  Where one is larger, what
 * lies beyond the end of the other is compared with zeros.
 */
int disk_diff (struct disk *a, struct disk *b, uint64_t offset, diff_fn fn,
               void *opaque);

/* Bytes that hold data. */
static inline uint64_t
disk_mapped (const struct disk *d)
{
  return tree_mapped (&d->tree) << PAGE_SHIFT;
}

/* Bytes that the disk has written since it was last cloned, and that the quota
 * counts: see radix.h.
 */
static inline uint64_t
disk_owned (const struct disk *d)
{
  return tree_owned (&d->tree) << PAGE_SHIFT;
}

/* In bytes, of which whole pages count; TREE_NO_QUOTA: none.  Under what the
 * disk owns already it only refuses more.
 */
static inline void
disk_set_quota (struct disk *d, uint64_t quota)
{
  atomic_store_explicit (&d->tree.quota, quota, memory_order_relaxed);
}

static inline uint64_t
disk_quota (const struct disk *d)
{
  return atomic_load_explicit (&d->tree.quota, memory_order_relaxed);
}

static inline void
disk_set_readonly (struct disk *d, bool readonly)
{
  atomic_store_explicit (&d->readonly, readonly, memory_order_relaxed);
}

static inline bool
disk_is_readonly (const struct disk *d)
{
  return atomic_load_explicit (&d->readonly, memory_order_relaxed);
}

#endif /* MRAMDISK_DISK_H */
