/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: bytes on top of the tree.  It knows nothing of names or of nbdkit.
 *
 * Each operation checks size, sector size and the read-only flag, because a
 * disk can be resized under an open connection.
 *
 * What requests may rely on:
 *
 *   D1  When a write or zero has returned 0, every read that begins later sees
 *       it, on every connection; the same holds for a trim, as far as it was
 *       carried out.  A trim is a hint: it leaves the parts of pages at its two
 *       ends, and all from where there is no memory, not even in the overdraft,
 *       for nodes that it would have to copy first.  What it leaves keeps its
 *       data.  A trim past the end fails as a write does.
 *   D2  Concurrent requests that overlap leave each byte as one of them wrote
 *       it; a read in the meantime may see some bytes of each.
 *   D3  Concurrent requests that do not overlap do not disturb each other,
 *       however close they are.
 *   D4  A request that fails with ENOSPC for lack of memory, or with EDQUOT,
 *       has changed nothing; unless other requests changed the same range, or a
 *       clone was made, while it ran: then its first part may have been carried
 *       out.
 *   D5  A clone has the content of one instant between call and return.  It may
 *       have a part of a request that is in flight and crosses
 *       DISK_SECTION_PAGES.
 *
 * Thread-safety: all functions may be called from any thread, except disk_free,
 * which must be the last call.  Reads, overwrites and the filling of holes take
 * no lock; the rest takes the tree's lock inside.
 *
 * Errors: -1 with errno
 *   EINVAL  a read past the end; not a multiple of the sector size
 *   ENOSPC  a write, zero or trim past the end; no memory left
 *   EDQUOT  a write, or the zeroing of a part of a page, beyond the quota
 *   EROFS   a write, zero or trim to a read-only disk
 *   ENOMEM  no memory for this thread's bookkeeping
 *   EIO     the origin cannot be read, and its content is needed: a read, or
 *           a write or zero of a part of a page, where nothing was written yet
 *
 * Disks over an origin (disk-origin.h) show its content where they were not
 * written, and zeros where they were trimmed.  Requests that need what was not
 * fetched yet wait for it; the others do not: writes, zeroes and trims of whole
 * pages.
 *
 * A disk of an arena in a file has a record there (records.h); disk_new and
 * disk_clone sometimes need a page for it.
 */

#ifndef MRAMDISK_DISK_H
#define MRAMDISK_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bdev/cuts.h"
#include "ramdisk/radix.h"

/* The largest disk: the maximum of nbdkit's signed 64-bit sizes. */
#define DISK_MAX_SIZE ((uint64_t) INT64_MAX)

/* The smallest and the largest sector size that can be set, in bytes. */
#define DISK_MIN_SECTOR 512
#define DISK_MAX_SECTOR 65536

/* How many pages are read or written in one reader section: 256 KiB. */
#define DISK_SECTION_PAGES 64

struct disk {
  struct tree tree;
  _Atomic uint64_t size;        /* bytes */
  uint32_t sector_size;         /* bytes; 1: any byte can be addressed */
  atomic_bool readonly;
  atomic_bool written;          /* it has been written to */
  page_t zeros;                 /* what trims leave: a hole or, if holes mean
                                 * something else, PAGE_ZERO */
  struct origin *origin;        /* what holes mean, or NULL: zeros … */
  _Atomic uint64_t origin_end;  /* … up to there, in bytes (O6) */
  bool detect_same;             /* see disk_write; on unless it is cleared
                                 * before the disk is used */
  struct cuts cuts GUARDED_BY (tree.lock);      /* disk_cuts */
};

/* The type of an extent, in the protocol's terms (base:allocation). */
enum extent_type {
  EXTENT_DATA,
  EXTENT_ZERO,                  /* NBD_STATE_ZERO */
  EXTENT_HOLE,                  /* NBD_STATE_HOLE | NBD_STATE_ZERO */
  EXTENT_SHARED,                /* data, shared with another disk; only from
                                 * disk_extents_sharing */
};

/* Called for each extent, in order, outside of reader sections.  A result other
 * than 0 ends the walk, which returns it.
 */
typedef int (*extent_fn) (void *opaque, uint64_t offset, uint64_t length,
                          enum extent_type type);

/* Called for each range in which two disks differ. */
typedef int (*diff_fn) (void *opaque, uint64_t offset, uint64_t length);

/* Create an empty disk. sector_size 0 or 1: byte-addressable.  Errors: EINVAL
 * (size over DISK_MAX_SIZE; sector size not a power of two in its range; size
 * not a multiple of it), ENOMEM, ENOSPC (see above).
 */
struct disk *disk_new (struct arena *arena, uint64_t size,
                       uint32_t sector_size);

/* The same for a disk that never gets a name: an arena's file has nothing of
 * it, and needs no room for it.
 */
struct disk *disk_new_unnamed (struct arena *arena, uint64_t size,
                               uint32_t sector_size);

/* The same over an origin, to which it takes a reference; of the origin it
 * shows what lies within its size.
 */
struct disk *disk_new_over (struct arena *arena, uint64_t size,
                            uint32_t sector_size, struct origin *origin);

/* Have the holes of a disk that nobody uses yet, and which has no origin, mean
 * the content of one, up to end, in bytes.  Takes a reference.
 */
void disk_set_origin (struct disk *d, struct origin *origin, uint64_t end);

/* Free a disk that is not in use.  Its pages are freed in the background. */
void disk_free (struct disk *d);

static inline uint64_t
disk_size (const struct disk *d)
{
  return atomic_load_explicit (&d->size, memory_order_acquire);
}

/* How this process has made the disk smaller.  Waits for a resize that runs. */
struct cuts disk_cuts (struct disk *d);

int disk_read (struct disk *d, void *buf, uint64_t count, uint64_t offset);

/* With detect_same, a page that is shared with another disk and already holds
 * what is written to it stays shared: it takes neither memory nor quota.
 */
int disk_write (struct disk *d, const void *buf, uint64_t count,
                uint64_t offset);

/* The same, but aligned pages of zeros in buf become holes. */
int disk_write_detect (struct disk *d, const void *buf, uint64_t count,
                       uint64_t offset);

/* Make the range read as zeros without using memory: as holes, or as allocated
 * zeros.
 */
int disk_zero (struct disk *d, uint64_t count, uint64_t offset, bool hole);

/* Turn the whole pages in the range into holes; the rest stays unchanged.  If
 * there is no memory for that, all of it stays unchanged, and 0 is returned
 * anyway (D1).
 */
int disk_trim (struct disk *d, uint64_t count, uint64_t offset);

/* Report extents from offset on, until at least count bytes are covered or fn
 * ends the walk.  Neighbours of one type are joined; the last extent may reach
 * beyond the range, as far as it is known.  All begin and end at multiples of
 * the sector size: a sector with a page of data is data, else one with an
 * allocated page is EXTENT_ZERO, and only the others are holes. Over an
 * origin, the origin is asked where the disk was not written: its zeros are
 * holes, and what it cannot tell is data.
 */
int disk_extents (struct disk *d, uint64_t count, uint64_t offset,
                  extent_fn fn, void *opaque);

/* The same, but data that is shared with other disks has its own type.  A
 * sector with both kinds of data is EXTENT_DATA, because not all of it is
 * shared.
 */
int disk_extents_sharing (struct disk *d, uint64_t count, uint64_t offset,
                          extent_fn fn, void *opaque);

/* Have what lies in the range fetched from the origin.  Errors: EIO. */
int disk_fetch (struct disk *d, uint64_t count, uint64_t offset);

/* How many bytes of data would be free without this disk.  Walks what is not
 * shared, leaf by leaf; the rest of disk_mapped is shared.  Errors: ENOMEM.
 */
int disk_exclusive (struct disk *d, uint64_t *bytes);

/* Change the size.  Data beyond a smaller size is freed, and reads as zeros
 * after a later growth.  Errors: EINVAL (as for disk_new), ENOSPC, ENOMEM; then
 * nothing has changed.  Read-only disks can be resized too.
 */
int disk_resize (struct disk *d, uint64_t size);

/* Create a disk with the content that d has at one instant between call and
 * return.  The cost does not depend on the size.  Errors: ENOMEM, ENOSPC (see
 * above).
 */
struct disk *disk_clone (struct disk *d);

/* The contents of several disks at one instant between call and return, the
 * same for all of them: a write to one that was acknowledged before another one
 * began is in these contents if that other one is.  frozen[i] is a new disk for
 * d[i]; a disk may be there more than once.  To their quotas the disks go on to
 * own what they own (radix.h), so this is for contents that are looked at and
 * thrown away.  The new disks take no page, so disks can be saved while memory
 * is full.
 * Returns 0, or -1 with errno ENOMEM; then there are no new disks.
 */
int disk_freeze (struct disk *const *d, struct disk **frozen, size_t n);

/* The same as clones: the disks own nothing any more. */
int disk_clone_together (struct disk *const *d, struct disk **clone, size_t n);

/* Report where the contents of two disks differ, each as of one instant, from
 * the page of offset on.  The cost grows with what the two do not share.  If
 * one is larger, its part beyond the end of the other is compared with zeros.
 * ends, unless NULL, is called every few MiB; if it returns true, the walk
 * fails with ECANCELED.
 * Nothing is fetched from an origin for this: if one of the two was written, or
 * they do not have the same origin, and its content is not in memory, they
 * count as different.
 */
int disk_diff (struct disk *a, struct disk *b, uint64_t offset, diff_fn fn,
               bool (*ends) (void *opaque), void *opaque);

/* Called with n pages from that index on: one that has data, or some that are
 * allocated zeros (NULL).
 */
typedef int (*page_fn) (void *opaque, uint64_t index, uint64_t n,
                        const void *page);

/* Report all pages but holes, from index first to before end, of a disk that
 * nobody changes (disk_freeze), in order.  Pages that disks share have one
 * address, and keep it and their content as long as the disk is there.  Returns
 * 0, -1 with errno ENOMEM, or what fn returned if that was not 0, which ends
 * it.
 */
int disk_pages (struct disk *d, uint64_t first, uint64_t end, page_fn fn,
                void *opaque);

/* Called with n pages from that index on, and what they are now: EXTENT_DATA
 * (one page, with its address), EXTENT_ZERO or EXTENT_HOLE.
 */
typedef int (*changed_fn) (void *opaque, uint64_t index, uint64_t n,
                           enum extent_type type, const void *page);

/* Report the pages of d that are not as in `before`, in order; of neither disk
 * anything changes meanwhile (disk_freeze).  Other than disk_diff, it looks at
 * what the disks themselves have, not at what an origin shows through their
 * holes, and it tells holes from zeros.  Where d has zeros or holes, it may
 * report some that are unchanged, too.  The cost grows with what the two do not
 * share.  Returns as disk_pages.
 */
int disk_changes (struct disk *before, struct disk *d, changed_fn fn,
                  void *opaque);

/* Do two disks share any data, as a clone does with its source until all of it
 * has been overwritten?  The cost grows with what they do not share.  Returns
 * 1, 0, or -1 with errno; ends as for disk_diff.
 */
int disk_shares (struct disk *a, struct disk *b, bool (*ends) (void *opaque),
                 void *opaque);

/* Bytes that hold data. */
static inline uint64_t
disk_mapped (const struct disk *d)
{
  return tree_mapped (&d->tree) << PAGE_SHIFT;
}

/* The number of bytes that the disk has written since it was last cloned, which
 * the quota limits (radix.h).
 */
static inline uint64_t
disk_owned (const struct disk *d)
{
  return tree_owned (&d->tree) << PAGE_SHIFT;
}

/* In bytes; only whole pages count.  TREE_NO_QUOTA: none. */
static inline uint64_t
disk_quota (const struct disk *d)
{
  return atomic_load_explicit (&d->tree.quota, memory_order_relaxed);
}

static inline bool
disk_is_readonly (const struct disk *d)
{
  return atomic_load_explicit (&d->readonly, memory_order_relaxed);
}

/* Set both in one step.  A quota below what the disk owns only refuses more.
 * For one caller at a time.
 */
void disk_set (struct disk *d, bool readonly, uint64_t quota);

/* Give a disk that has neither clients nor a name other sectors.  Returns 0, or
 * -1 with EINVAL, as disk_new.
 */
int disk_set_sector_size (struct disk *d, uint32_t sector_size);

static inline void
disk_set_quota (struct disk *d, uint64_t quota)
{
  disk_set (d, disk_is_readonly (d), quota);
}

static inline void
disk_set_readonly (struct disk *d, bool readonly)
{
  disk_set (d, readonly, disk_quota (d));
}

/* Create a disk from its record in the arena's file, with this many mapped
 * bytes.  For recovery.  NULL: no memory.
 */
struct disk *disk_restore (struct arena *arena, struct layout_record *record,
                           uint64_t mapped);

/* Such a disk is over an origin, to which it takes a reference.  Before anybody
 * uses it.
 */
void disk_restore_over (struct disk *d, struct origin *origin);

/* Finish a shrink that a crash has cut short (P6 in arena-layout.h).
 * Errors: ENOSPC.
 */
int disk_settle (struct disk *d);

#endif /* MRAMDISK_DISK_H */
