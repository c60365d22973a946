/* SPDX-License-Identifier: BSD-3-Clause */
/* Extents in whole blocks.
 *
 * Design
 *
 * A plugin or a server may report block status in finer units than its minimum
 * block size.  Nobody can request less than a block, so everything that a bdev
 * reports is rounded here to whole blocks first: a block reads as zeros only if
 * all of it does, and is a hole only if all of it is.  "Data" is never wrong.
 *
 *     struct extents e;
 *
 *     extents_init (&e, …, fn, opaque);
 *     extents_add (&e, …) for each extent, as a bdev reports them
 *
 * Thread-safety: one thread at a time.
 */

#ifndef MBLOCK_EXTENTS_H
#define MBLOCK_EXTENTS_H

#include "bdev/bdev.h"

struct extents {
  bdev_extent_fn fn;            /* who is told */
  void *opaque;
  uint64_t block;               /* bytes, a power of two */
  uint64_t size;                /* of the disk, where the last block may end */
  uint64_t begin, end;          /* of the request */
  uint64_t from, to;            /* not reported yet; from is whole blocks … */
  uint32_t type;                /* … and of this type; from = to: nothing */
};

/* Begin for a request of count bytes at offset, to a disk of that size.  Except
 * at the end of the disk, the request is whole blocks.
 */
void extents_init (struct extents *e, uint64_t block, uint64_t size,
                   uint64_t offset, uint64_t count, bdev_extent_fn fn,
                   void *opaque);

/* Extents in order and without gaps.  Returns 0, or what fn returned. */
int extents_add (struct extents *e, uint64_t offset, uint64_t length,
                 uint32_t type);

/* There are no more extents.  A last block that was reported only in part is
 * omitted, or is data if it is the first one.
 */
int extents_end (struct extents *e);

#endif /* MBLOCK_EXTENTS_H */
