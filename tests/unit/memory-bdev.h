/* SPDX-License-Identifier: BSD-3-Clause */
/* A side in memory that fails on purpose: a server that can be lost, that has
 * a volatile cache, that comes back empty.  A request that breaks the contract
 * of side.h ends the test.
 */

#ifndef MBLOCK_MEMORY_SIDE_H
#define MBLOCK_MEMORY_SIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "side.h"

#define MEMORY_BLOCK 4096       /* of its extents, in bytes */

struct memory_side {
  struct side side;             /* info may be changed before it is used */
  pthread_mutex_t lock;
  char *data, *stable;          /* stable: as of the last flush */
  bool *mapped;                 /* of each block */
  unsigned seed;

  /* To be changed with memory_set, or before the side is used. */
  bool down;                    /* cannot be connected, loses connections */
  bool lost;                    /* until the next connect */
  unsigned fail_writes, fail_reads, fail_flushes; /* so many of them */
  int fail_with;
  int slow;                     /* ns that a write takes */

  uint64_t bytes_written, bytes_zeroed, bytes_read;
  unsigned writes, flushes, connects;
};

struct memory_side *memory_side (uint64_t size);
void memory_free (struct memory_side *m);

/* It loses its connection; and what it has not flushed, or part of it, if
 * volatile_cache; or all that it has.
 */
enum memory_loss { LOSE_NOTHING, LOSE_UNFLUSHED, LOSE_ALL };
void memory_crash (struct memory_side *m, enum memory_loss loss, bool down);
void memory_up (struct memory_side *m);

#define memory_set(m, field, value)             \
  do {                                          \
    pthread_mutex_lock (&(m)->lock);            \
    (m)->field = (value);                       \
    pthread_mutex_unlock (&(m)->lock);          \
  } while (0)

/* Where they first differ; their size if nowhere. */
uint64_t memory_difference (struct memory_side *a, struct memory_side *b);

#endif /* MBLOCK_MEMORY_SIDE_H */
