/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory for the tests of the cache.  Tests make it fail, or
 * be slow or full.
 *
 * Thread-safety: requests take the lock inside; the settings may be changed at
 * any time.
 */

#ifndef TESTS_CACHE_BDEV_H
#define TESTS_CACHE_BDEV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "bdev/bdev.h"

struct memory {
  struct bdev bdev;             /* info may be changed at the start */
  struct mutex lock;
  uint8_t *data GUARDED_BY (lock);
  bool *mapped GUARDED_BY (lock);       /* pages of 4 KiB */
  uint64_t pages GUARDED_BY (lock);     /* that are mapped */

  _Atomic uint64_t room;        /* pages that may be mapped */
  _Atomic uint64_t end;         /* of what a disk that was made smaller has */
  _Atomic unsigned fail_reads, fail_writes, fail_flushes; /* of 1000 */
  _Atomic bool fail_next_write;
  void (*before_write) (void);  /* NULL: nothing; set while nobody writes */
  _Atomic uint64_t bad;         /* a byte that cannot be written */
  _Atomic int error;            /* errno of those */
  _Atomic unsigned delay;       /* us, for each request */
  _Atomic uint64_t seed;

  _Atomic uint64_t reads, writes, zeroes, trims, flushes, extents;
  _Atomic uint64_t read_bytes;
};

void memory_init (struct memory *m, uint64_t size);
void memory_destroy (struct memory *m);

/* Read or change the content without a request. */
void memory_peek (struct memory *m, void *buf, uint32_t count,
                  uint64_t offset);
void memory_poke (struct memory *m, const void *buf, uint32_t count,
                  uint64_t offset);
uint64_t memory_pages (struct memory *m);

/* `end` has no effect any more; what was behind it is zeros. */
void memory_grow_again (struct memory *m);

#endif /* TESTS_CACHE_BDEV_H */
