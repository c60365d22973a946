/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory that fails on purpose: a server that can be lost,
 * has a volatile cache, or comes back empty.  A request that violates the
 * contract of bdev.h ends the test.
 */

#ifndef MBLOCK_MEMORY_BDEV_H
#define MBLOCK_MEMORY_BDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "tests/unit/bdev-parts.h"

struct memory_bdev {
  struct bdev bdev;             /* info may be changed before it is used */
  pthread_mutex_t lock;
  char *data, *stable;          /* stable: as of the last flush */
  bool *mapped;                 /* of each block */
  unsigned seed;

  /* To be changed with memory_set, or before the bdev is used. */
  bool down;                    /* cannot be connected, loses connections */
  bool lost;                    /* until the next connect */
  unsigned fail_writes, fail_reads, fail_flushes; /* how many of them */
  int fail_with;
  bool slow_zero;               /* a fast zero gets ENOTSUP */
  int slow;                     /* ns that a write takes */
  int slow_seconds;             /* s that the next write takes besides */
  /* The next write, read, flush, block status or connect waits … */
  bool hold_next, hold_next_read, hold_next_flush, hold_next_extents;
  bool hold_next_connect;
  bool held;                    /* … while this is true, as it then is */

  uint64_t bytes_written, bytes_zeroed, bytes_read;
  unsigned writes, started, flushes, connects, extents;
};

struct memory_bdev *memory_bdev (uint64_t size);
void memory_free (struct memory_bdev *m);

/* The device loses its connection; and nothing else, or part of what was not
 * flushed, or everything.
 */
enum memory_loss { LOSE_NOTHING, LOSE_UNFLUSHED, LOSE_ALL };
void memory_crash (struct memory_bdev *m, enum memory_loss loss, bool down);
void memory_up (struct memory_bdev *m);

#define memory_set(m, field, value)             \
  do {                                          \
    pthread_mutex_lock (&(m)->lock);            \
    (m)->field = (value);                       \
    pthread_mutex_unlock (&(m)->lock);          \
  } while (0)

#define memory_get(m, field)                            \
  ({                                                    \
    pthread_mutex_lock (&(m)->lock);                    \
    __typeof__ ((m)->field) value_ = (m)->field;        \
    pthread_mutex_unlock (&(m)->lock);                  \
    value_;                                             \
  })

/* The first byte that differs; their size if there is none. */
uint64_t memory_difference (struct memory_bdev *a, struct memory_bdev *b);

#endif /* MBLOCK_MEMORY_BDEV_H */
