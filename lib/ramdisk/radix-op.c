/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on a tree: their credit, their quota and what they retire.
 * radix.h has the design.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <sched.h>

#include "ramdisk/arena.h"
#include "ramdisk/radix.h"

/* How often to try again while others may have reserved more than they need. */
#define QUOTA_TRIES 16

/* The reservation is added before owned is read.  If two threads reserve at
 * once, the later one sees the other's reservation, or, if that was given back,
 * what it was spent on (acquire and release of quota_reserved).
 */
int
tree_op_reserve_quota (struct tree_op *op, struct tree *t, uint64_t n)
{
  int64_t want = (int64_t) n - op->quota_reservation, all;
  uint64_t quota = atomic_load_explicit (&t->quota, memory_order_relaxed);
  unsigned tries;

  if (__builtin_expect (quota == TREE_NO_QUOTA, true) || want <= 0 ||
      op->unlimited)
    return 0;
  for (tries = 0; tries < QUOTA_TRIES; tries++) {
    all = atomic_fetch_add_explicit (&t->quota_reserved, want,
                                     memory_order_acq_rel) + want;
    if (tree_owned (t) + (uint64_t) all <= quota >> PAGE_SHIFT) {
      op->quota_tree = t;
      op->quota_reservation += want;
      return 0;
    }
    atomic_fetch_sub_explicit (&t->quota_reserved, want, memory_order_release);
    if (all == want + op->quota_reservation)
      break;                    /* no other reservation */
    sched_yield ();
  }
  errno = EDQUOT;
  return -1;
}

void
tree_op_quota_spent (struct tree_op *op, unsigned n)
{
  int64_t spent = n < op->quota_reservation ? n : op->quota_reservation;

  if (spent) {
    atomic_fetch_sub_explicit (&op->quota_tree->quota_reserved, spent,
                               memory_order_release);
    op->quota_reservation -= spent;
  }
}

int
tree_op_reserve (struct tree_op *op, uint64_t n)
{
  if (n > op->credit) {
    if (arena_reserve (op->arena, n - op->credit, op->overdraft) == -1)
      return -1;
    op->credit = n;
  }
  return 0;
}

int
tree_op_alloc (struct tree_op *op, unsigned n, bool zeroed, page_t *pages)
{
  unsigned got;

  if (tree_op_reserve (op, n) == -1)
    return -1;
  got = arena_alloc (op->arena, n, zeroed, pages);
  op->credit -= got;
  if (got < n) {
    while (got > 0)
      tree_op_unalloc (op, pages[--got]);
    errno = ENOSPC;
    return -1;
  }
  return 0;
}

void
tree_op_unalloc (struct tree_op *op, page_t page)
{
  arena_free_unlinked (op->arena, page);
  op->credit++;
}

void
tree_op_room (struct tree_op *op, unsigned n)
{
  if (op->retired.n + n > RETIRE_MAX)
    arena_retire (op->arena, &op->retired);
}

void
tree_op_end (struct tree_op *op)
{
  assert (op->removed.n == 0);
  arena_unreserve (op->arena, op->credit);
  op->credit = 0;
  if (op->quota_reservation)
    tree_op_quota_spent (op, op->quota_reservation);
  arena_retire (op->arena, &op->retired);
}
