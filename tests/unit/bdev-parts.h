/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests' block devices in memory share: memory-bdev.h is a server that
 * can be lost, cache-bdev.h a disk that fails, is slow or is full.
 */

#ifndef TESTS_BDEV_PARTS_H
#define TESTS_BDEV_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"

#define MEMORY_BLOCK 4096u      /* of their extents, in bytes */

/* A disk that can do everything. */
static inline struct bdev_info
memory_info (uint64_t size)
{
  return (struct bdev_info) {
    .size = size, .block_min = 1, .can_flush = true, .can_fua = true,
    .can_trim = true, .can_zero = true, .can_fast_zero = true,
    .can_cache = true, .can_extents = true, .can_multi_conn = true,
  };
}

/* The end of the extent that contains offset, at most end. */
static inline uint64_t
memory_extent_end (const bool *mapped, uint64_t offset, uint64_t end)
{
  uint64_t block = offset / MEMORY_BLOCK, to = block + 1;

  while (to * MEMORY_BLOCK < end && mapped[to] == mapped[block])
    to++;
  return to * MEMORY_BLOCK < end ? to * MEMORY_BLOCK : end;
}

static inline uint32_t
memory_extent_flags (bool mapped)
{
  return mapped ? 0 : BDEV_HOLE | BDEV_ZERO;
}

/* .close, for which there is nothing to do. */
static inline void
memory_close (struct bdev *b)
{
  (void) b;
}

#endif /* TESTS_BDEV_PARTS_H */
