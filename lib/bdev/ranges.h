/* SPDX-License-Identifier: BSD-3-Clause */
/* The range lock: who works on which bytes of a disk.
 *
 * Design
 *
 * A list of ranges in the order in which they came.  One is granted when it
 * conflicts with none before it; until then its thread sleeps.  Two ranges
 * conflict if they overlap and one of them is exclusive.  Each counts the
 * earlier ones that it waits for, so that whoever leaves wakes only those whose
 * count he brings to 0.  The list is as long as there are requests in flight,
 * some dozens: going through it costs less than a tree would.
 *
 * The range from 0 to UINT64_MAX is everything: who takes it waits for all that
 * is in flight, and keeps out all that comes later.
 *
 * Invariants
 *
 *   R1  Granted ranges do not conflict.
 *   R2  First come, first served: of two ranges that conflict the earlier is
 *       granted first, whether it is granted yet or not.  So a large range is
 *       not kept out by small ones for ever, and nobody waits for one that came
 *       later.
 *   R3  What was done in a range happens before what is done in a conflicting
 *       one that is granted later.
 *
 * R2 makes a deadlock of two range locks of the same thread possible, even if
 * these are disjoint (another that waits for the first may stand before the
 * second): a thread takes one at a time, or tries.
 *
 * Locking and lifetime.  The lock inside is a leaf, held for a walk of the
 * list.  A struct range lies on the stack of the thread that takes it, or
 * wherever it stays where it is until it is unlocked; another thread may
 * unlock it.
 *
 * Thread-safety: ranges_init and ranges_destroy want to be alone; the rest may
 * be called from any thread, and takes the lock inside.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_RANGES_H
#define MNBD_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "mutex.h"

#define RANGES_ALL UINT64_MAX

enum range_mode { RANGE_SHARED, RANGE_EXCLUSIVE };

struct range {
  uint64_t offset, end;         /* bytes, from offset to before end */
  enum range_mode mode;
  unsigned blockers;            /* earlier ones that conflict; 0: granted */
  bool sleeps;
  pthread_cond_t granted;       /* if it sleeps */
  struct range *prev, *next;
};

struct ranges {
  struct mutex lock;
  struct range *first GUARDED_BY (lock), *last GUARDED_BY (lock);
};

void ranges_init (struct ranges *r);

/* Nobody holds one any more. */
void ranges_destroy (struct ranges *r);

/* Wait for count bytes at offset, or (count RANGES_ALL) for all from there. */
void ranges_lock (struct ranges *r, struct range *range, uint64_t offset,
                  uint64_t count, enum range_mode mode);

/* Take it only if that needs no waiting. */
bool ranges_try_lock (struct ranges *r, struct range *range, uint64_t offset,
                      uint64_t count, enum range_mode mode);

void ranges_unlock (struct ranges *r, struct range *range);

/* How many have been granted, and how many wait. */
void ranges_count (struct ranges *r, unsigned *granted, unsigned *waiting);

/* Check R1 and the counts; abort with a message if they are wrong. */
void ranges_check (struct ranges *r);

#endif /* MNBD_RANGES_H */
