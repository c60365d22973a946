/* SPDX-License-Identifier: BSD-3-Clause */
/* The range lock: which thread works on which bytes of a disk.
 *
 * Design
 *
 * A list of ranges in the order of their arrival.  A range is granted when it
 * conflicts with none before it; until then its thread sleeps.  Two ranges
 * conflict if they overlap and one of them is exclusive.  Each range counts the
 * earlier ones that it waits for, so a thread that unlocks wakes only threads
 * whose count it reduces to 0.  The list is as long as the number of requests
 * in flight, some dozens; walking it costs less than a tree would.
 *
 * The range from 0 to UINT64_MAX is everything: it waits for all that is in
 * flight, and keeps out all that comes later.
 *
 * Invariants
 *
 *   R1  Granted ranges do not conflict.
 *   R2  First come, first served: of two ranges that conflict, the earlier is
 *       granted first, whether it is granted yet or not.  So small ranges
 *       cannot keep out a large one for ever, and no range waits for a later
 *       one.
 *   R3  What happens in a range happens before what happens in a conflicting
 *       range that is granted later.
 *
 * Because of R2, two range locks of the same thread can deadlock, even if they
 * are disjoint: another range that waits for the first may be queued before the
 * second.  So a thread locks one range at a time, or tries.
 *
 * Locking and lifetime.  The lock inside is a leaf, held while the list is
 * walked.  A struct range is on the stack of the thread that locks it, or
 * anywhere else where it stays in place until it is unlocked; another thread
 * may unlock it.
 *
 * Thread-safety: no other call may run during ranges_init and ranges_destroy;
 * the rest may be called from any thread, and takes the lock inside.
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_RANGES_H
#define MNBD_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"

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

/* No range may be locked any more. */
void ranges_destroy (struct ranges *r);

/* Lock count bytes at offset; with count RANGES_ALL, everything from offset on.
 * Waits.
 */
void ranges_lock (struct ranges *r, struct range *range, uint64_t offset,
                  uint64_t count, enum range_mode mode);

/* Lock it only if that needs no waiting. */
bool ranges_try_lock (struct ranges *r, struct range *range, uint64_t offset,
                      uint64_t count, enum range_mode mode);

void ranges_unlock (struct ranges *r, struct range *range);

/* How many are granted, and how many wait. */
void ranges_count (struct ranges *r, unsigned *granted, unsigned *waiting);

/* Check R1 and the counts; abort with a message if they are wrong. */
void ranges_check (struct ranges *r);

#endif /* MNBD_RANGES_H */
