/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree of a disk.  radix.h has the design and the invariants T1 to T8. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mutex.h"
#include "ramdisk/arena.h"
#include "ramdisk/node.h"
#include "ramdisk/radix.h"
#include "ramdisk/rcu.h"
#include "ramdisk/records.h"

static_assert (NODE_SHIFT * TREE_MAX_HEIGHT >= 63 - PAGE_SHIFT,
               "the highest tree holds the largest disk");

static unsigned
height_for (uint64_t pages)
{
  unsigned height = 1;

  while (height_span (height) < pages)
    height++;
  assert (height <= TREE_MAX_HEIGHT);
  return height;
}

static inline void
slot_store (struct node *node, unsigned i, page_t page)
{
  atomic_store_explicit (&node->slot[i], page, memory_order_release);
  CRASH_POINT ();
}

/* Store page and height, and leave the gate as it is. */
static void
root_store (struct tree *t, page_t page, unsigned height) REQUIRES (t->lock)
{
  uint64_t closed = root_load (t) & ROOT_CLOSED;

  record_store_root (t->record, root_word (page, height));      /* P5 */
  atomic_store_explicit (&t->root, root_word (page, height) | closed,
                         memory_order_release);
}

/* A generation that no tree has had. 0 is the owner generation of a page that
 * has none.
 */
static uint32_t
new_generation (void)
{
  static _Atomic uint32_t last;
  uint32_t generation;

  do
    generation = atomic_fetch_add_explicit (&last, 1,
                                            memory_order_relaxed) + 1;
  while (generation == 0);
  return generation;
}

void
tree_init (struct tree *t, struct arena *a, uint64_t pages)
{
  unsigned i;

  t->arena = a;
  mutex_init (&t->lock);
  mutex_init (&t->turn);
  atomic_init (&t->urgent, 0);
  t->record = NULL;
  for (i = 0; i < TREE_COUNTERS; i++) {
    atomic_init (&t->count[i].mapped, 0);
    atomic_init (&t->count[i].owned, 0);
  }
  atomic_init (&t->quota, TREE_NO_QUOTA);
  atomic_init (&t->quota_reserved, 0);
  atomic_init (&t->generation, new_generation ());
  atomic_init (&t->root, root_word (PAGE_HOLE, height_for (pages)));
}

void
tree_destroy (struct tree *t)
{
  tree_unshare (t->arena, root_load (t));
  mutex_destroy (&t->lock);
  mutex_destroy (&t->turn);
}

/* Own the pages that only this tree refers to. */
static int64_t
claim_below (struct tree *t, page_t page, unsigned level)
{
  struct node *node = node_at (t->arena, page);
  int64_t owned = 0;
  unsigned i;

  if (arena_refs (t->arena, page) != 1)
    return 0;
  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = slot_load (node, i);

    if (child < PAGE_FIRST)
      continue;
    if (level > 1)
      owned += claim_below (t, child, level - 1);
    else if (arena_refs (t->arena, child) == 1) {
      tree_set_owner_generation (t, child);
      owned++;
    }
  }
  return owned;
}

void
tree_restore (struct tree *t, struct layout_record *record, int64_t mapped)
{
  uint64_t root = atomic_load_explicit (&record->root, memory_order_relaxed);
  int64_t owned = 0;

  t->record = record;
  atomic_store_explicit (&t->root, root, memory_order_release);
  if (root_page (root) >= PAGE_FIRST)
    owned = claim_below (t, root_page (root), root_height (root));
  atomic_store_explicit (&t->count[0].mapped, mapped, memory_order_relaxed);
  atomic_store_explicit (&t->count[0].owned, owned, memory_order_relaxed);
}

bool
tree_ends_at (const struct arena *a, uint64_t root, uint64_t pages)
{
  unsigned level = root_height (root), i;
  page_t page = root_page (root);

  if (level != height_for (pages))
    return false;
  if (pages == height_span (level))
    return true;
  for (; page >= PAGE_FIRST && level > 0; level--) {
    struct node *node = node_at (a, page);

    for (i = slot_index (pages, level) + 1; i < NODE_SLOTS; i++)
      if (slot_load (node, i) != PAGE_HOLE)
        return false;
    page = slot_load (node, slot_index (pages, level));
  }
  return page == PAGE_HOLE;
}

/* ------------------------------------------------------- under the lock */

/* Copy a shared node into a page of our own.  Each child gets one more
 * reference before the old node can be given up.
 */
static void
copy_node (struct arena *a, page_t from, page_t to)
{
  struct node *src = node_at (a, from), *dst = node_at (a, to);
  unsigned i;

  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = slot_load (src, i);

    atomic_store_explicit (&dst->slot[i], child, memory_order_relaxed);
    if (child < PAGE_FIRST)
      continue;
    if (child % 2 == 0 && i + 1 < NODE_SLOTS &&
        slot_load (src, i + 1) == child + 1) {
      arena_ref_add_two (a, child);
      atomic_store_explicit (&dst->slot[++i], child + 1, memory_order_relaxed);
    }
    else
      arena_ref_add (a, child);
  }
  atomic_store_explicit (&a->owner_generation[to],
                         atomic_load_explicit (&a->owner_generation[from],
                                               memory_order_relaxed),
                         memory_order_relaxed);
  STRESS_POINT ();
}

/* Make the node that a slot, or the root, refers to exclusive; the path to that
 * slot is exclusive already.  The caller stores *ref if it has changed.
 */
static int
own_node (struct tree *t, struct tree_op *op, page_t *ref, unsigned level)
  REQUIRES (t->lock)
{
  struct arena *a = t->arena;
  page_t old = *ref, new;
  unsigned i;

  if (old < PAGE_FIRST) {
    if (tree_op_alloc (op, 1, old == PAGE_HOLE, &new) == -1)
      return -1;
    if (old == PAGE_ZERO)
      for (i = 0; i < NODE_SLOTS; i++)
        atomic_init (&node_at (a, new)->slot[i], PAGE_ZERO);
    atomic_store_explicit (&a->owner_generation[new], 0, memory_order_relaxed);
    *ref = new;
    return 0;
  }

  if (arena_refs (a, old) == 1)
    return 0;
  /* The node that is retired here may still be linked until the caller stores
   * *ref, so it must not be handed over before: the caller has made room.
   */
  assert (op->retired.n + 2 <= RETIRE_MAX);
  if (arena_ref_add (a, old) == 1) {    /* the pin, T5 */
    arena_ref_undo (a, old);            /* the others have just gone */
    return 0;
  }
  if (tree_op_alloc (op, 1, false, &new) == -1) {
    /* The search for memory may have freed those that shared the node: the slot
     * and the pin are left.
     */
    if (arena_refs (a, old) == 2) {
      arena_ref_undo (a, old);
      return 0;
    }
    retire (&op->retired, old, level);
    return -1;
  }
  copy_node (a, old, new);
  retire (&op->retired, old, level);    /* the pin */
  retire (&op->retired, old, level);    /* the slot's */
  *ref = new;
  return 0;
}

struct node *
tree_leaf_locked (struct tree *t, struct tree_op *op, uint64_t index)
{
  uint64_t root = root_load (t);
  unsigned level = root_height (root);
  page_t page = root_page (root);
  struct node *node;

  assert (index < height_span (level));
  tree_op_room (op, 2 * TREE_MAX_HEIGHT);
  if (own_node (t, op, &page, level) == -1)
    return NULL;
  if (page != root_page (root))
    root_store (t, page, level);
  for (; level > 1; level--) {
    unsigned i = slot_index (index, level);
    page_t child;

    node = node_at (t->arena, page);
    page = child = slot_load (node, i);
    if (own_node (t, op, &page, level - 1) == -1)
      return NULL;
    if (page != child)
      slot_store (node, i, page);
  }
  return node_at (t->arena, page);
}

void
tree_close_locked (struct tree *t)
{
  atomic_fetch_or_explicit (&t->root, ROOT_CLOSED, memory_order_relaxed);
  rcu_grace_period ();
}

/* Release: a writer that sees the gate open again also sees the counts that
 * were raised while it was closed.
 */
void
tree_open_locked (struct tree *t)
{
  atomic_fetch_and_explicit (&t->root, ~ROOT_CLOSED, memory_order_release);
}

/* Count the data pages of a subtree, and those that the tree owned. */
static void
count_data (const struct tree *t, page_t page, unsigned level,
            int64_t *mapped, int64_t *owned)
{
  struct node *node = node_at (t->arena, page);
  unsigned i;

  if (level == 0) {
    ++*mapped;
    *owned += tree_owns (t, page);
    return;
  }
  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = slot_load (node, i);

    if (child < PAGE_FIRST)
      continue;
    if (level > 1)
      count_data (t, child, level - 1, mapped, owned);
    else {
      ++*mapped;
      *owned += tree_owns (t, child);
    }
  }
}

/* Count the pages that were removed, and retire them.  This is done with the
 * lock still held, so that a clone never copies a wrong count, but where
 * possible with the gate open again.
 */
static void
settle_removed (struct tree *t, struct tree_op *op) REQUIRES (t->lock)
{
  int64_t mapped = 0, owned = 0;
  unsigned i;

  for (i = 0; i < op->removed.n; i++)
    count_data (t, (page_t) op->removed.ref[i], op->removed.ref[i] >> 32,
                &mapped, &owned);
  tree_count (t, -mapped, -owned);
  arena_retire (op->arena, &op->removed);
}

/* Set pages first to last, counted from the start of the subtree of *ref, which
 * has this many levels.  The gate is closed.
 */
static int
fill_below (struct tree *t, struct tree_op *op, page_t *ref, unsigned level,
            uint64_t first, uint64_t last, page_t fill) REQUIRES (t->lock)
{
  struct node *node;
  uint64_t span;
  unsigned i;

  if (*ref == fill)
    return 0;
  if (first == 0 && last == height_span (level) - 1) {
    if (*ref >= PAGE_FIRST) {
      if (op->removed.n == RETIRE_MAX)
        settle_removed (t, op);
      retire (&op->removed, *ref, level);
    }
    *ref = fill;
    return 0;
  }

  span = slot_span (level);
  if (*ref >= PAGE_FIRST) {     /* do not copy a node without a change */
    node = node_at (op->arena, *ref);
    for (i = first / span; i <= last / span; i++)
      if (slot_load (node, i) != fill)
        break;
    if (i > last / span)
      return 0;
  }

  if (own_node (t, op, ref, level) == -1)
    return -1;
  node = node_at (op->arena, *ref);
  for (i = first / span; i <= last / span; i++) {
    page_t old = slot_load (node, i), new = old;
    uint64_t base = i * span;
    int r = fill_below (t, op, &new, level - 1,
                        first > base ? first - base : 0,
                        last < base + span - 1 ? last - base : span - 1, fill);

    if (new != old)
      slot_store (node, i, new);
    if (r == -1)
      return -1;
  }
  return 0;
}

int
tree_fill_locked (struct tree *t, struct tree_op *op, uint64_t first,
                  uint64_t last, page_t fill)
{
  bool was_closed = root_load (t) & ROOT_CLOSED;
  unsigned height = root_height (root_load (t)), i;
  page_t page;
  int r;

  if (last > height_span (height) - 1)
    last = height_span (height) - 1;
  if (first > last)
    return 0;

  /* At most two paths are copied, to the first and to the last page. */
  tree_op_room (op, 2 * 2 * TREE_MAX_HEIGHT);
  if (!was_closed)
    tree_close_locked (t);
  page = root_page (root_load (t));
  r = fill_below (t, op, &page, height, first, last, fill);
  if (page != root_page (root_load (t)))
    root_store (t, page, height);
  if (page < PAGE_FIRST) {      /* everything is gone: no need to count */
    for (i = 0; i < TREE_COUNTERS; i++) {
      atomic_store_explicit (&t->count[i].mapped, 0, memory_order_relaxed);
      atomic_store_explicit (&t->count[i].owned, 0, memory_order_release);
    }
    arena_retire (t->arena, &op->removed);
  }
  if (!was_closed)
    tree_open_locked (t);
  settle_removed (t, op);
  return r;
}

/* Whether a node is empty, except perhaps for one slot. */
static bool
node_is_empty (struct node *node, unsigned except)
{
  unsigned i;

  for (i = 0; i < NODE_SLOTS; i++)
    if (i != except && slot_load (node, i) != PAGE_HOLE)
      return false;
  return true;
}

unsigned
tree_prune_locked (struct tree *t, struct tree_op *op, uint64_t index)
{
  struct node *path[TREE_MAX_HEIGHT + 1];
  uint64_t root, first;
  unsigned level, height, n = 0;
  page_t page;

  tree_close_locked (t);
  root = root_load (t);
  page = root_page (root);
  height = root_height (root);
  for (level = height; level >= 1; level--) {
    if (index >= height_span (height) || page < PAGE_FIRST ||
        arena_refs (t->arena, page) != 1)
      goto out;
    path[level] = node_at (t->arena, page);
    page = slot_load (path[level], slot_index (index, level));
  }
  if (!node_is_empty (path[1], NODE_SLOTS))
    goto out;
  for (level = 1; level < height; level++)
    if (!node_is_empty (path[level + 1], slot_index (index, level + 1)))
      break;
  first = index & ~(height_span (level) - 1);
  tree_fill_locked (t, op, first, first + height_span (level) - 1, PAGE_HOLE);
  n = level;
 out:
  tree_open_locked (t);
  return n;
}

int
tree_set_height_locked (struct tree *t, struct tree_op *op, uint64_t pages)
{
  unsigned want = height_for (pages);
  unsigned height = root_height (root_load (t));
  page_t page = root_page (root_load (t)), new;

  /* All or nothing: a root that is too high could only be lowered behind the
   * gate (T4).
   */
  if (height < want && page != PAGE_HOLE &&
      tree_op_reserve (op, want - height) == -1)
    return -1;
  /* Writers in flight are not affected: what they found stays in place. */
  for (; height < want; height++) {
    if (page != PAGE_HOLE) {
      if (tree_op_alloc (op, 1, true, &new) == -1)
        return -1;
      atomic_init (&node_at (t->arena, new)->slot[0], page);
      page = new;
    }
    root_store (t, page, height + 1);
  }

  for (; height > want; height--) {
    assert (root_load (t) & ROOT_CLOSED);
    new = page;
    if (page >= PAGE_FIRST) {
      /* The old root keeps its reference to the child, because readers may be
       * in it; both are freed after the grace period.
       */
      tree_op_room (op, 1);
      new = slot_load (node_at (t->arena, page), 0);
      if (new >= PAGE_FIRST)
        arena_ref_add (t->arena, new);
      retire (&op->retired, page, height);
    }
    page = new;
    root_store (t, page, height - 1);
  }
  return 0;
}

/* ------------------------------------------------------------- sharing */

/* The reference closes the path: from here on, each writer finds the root
 * shared, and queues for the lock.  Writers that found it exclusive before are
 * waited for, and what they store belongs to the shared content.  If the root
 * was shared before, there are none: since it became shared (T4), no writer has
 * found it exclusive.  The count is read in the same step that raises it,
 * because an earlier value could be out of date.
 */
bool
tree_share_begin_locked (struct tree *t, uint64_t *root)
{
  *root = root_load (t);
  return root_page (*root) >= PAGE_FIRST &&
    arena_ref_add (t->arena, root_page (*root)) == 1;
}

void
tree_share_locked (struct tree *t, uint64_t *root, int64_t *mapped)
{
  if (tree_share_begin_locked (t, root))
    rcu_grace_period ();
  *mapped = tree_mapped (t);
}

void
tree_disown_locked (struct tree *t)
{
  unsigned i;

  atomic_store_explicit (&t->generation, new_generation (),
                         memory_order_relaxed);
  for (i = 0; i < TREE_COUNTERS; i++)
    atomic_store_explicit (&t->count[i].owned, 0, memory_order_relaxed);
}

void
tree_adopt (struct tree *t, uint64_t root, int64_t mapped)
{
  assert (root_page (root_load (t)) == PAGE_HOLE);
  record_store_root (t->record, root);
  atomic_store_explicit (&t->root, root, memory_order_release);
  atomic_store_explicit (&t->count[0].mapped, mapped, memory_order_relaxed);
}

void
tree_unshare (struct arena *a, uint64_t root)
{
  struct retired r = { .n = 0 };

  if (root_page (root) >= PAGE_FIRST) {
    retire (&r, root_page (root), root_height (root));
    arena_retire (a, &r);
  }
}

uint64_t
tree_mapped (const struct tree *t)
{
  int64_t n = 0;
  unsigned i;

  for (i = 0; i < TREE_COUNTERS; i++)
    n += atomic_load_explicit (&t->count[i].mapped, memory_order_relaxed);
  return n < 0 ? 0 : n;
}

uint64_t
tree_owned (const struct tree *t)
{
  int64_t n = 0;
  unsigned i;

  for (i = 0; i < TREE_COUNTERS; i++)
    n += atomic_load_explicit (&t->count[i].owned, memory_order_acquire);
  return n < 0 ? 0 : n;
}

/* -------------------------------------------------------------- checks */

struct check {
  struct arena *a;
  bool (*edge) (void *opaque, page_t page, unsigned level);
  void *opaque;
};

static void
check_below (struct check *c, page_t page, unsigned level)
{
  unsigned i;

  if (page < PAGE_FIRST)
    return;
  if (arena_refs (c->a, page) == 0) {
    fprintf (stderr, "tree: invariant T6 broken: page %" PRIu32
             " at level %u is linked and has no reference\n", page, level);
    abort ();
  }
  if (c->edge (c->opaque, page, level) && level > 0)
    for (i = 0; i < NODE_SLOTS; i++)
      check_below (c, slot_load (node_at (c->a, page), i), level - 1);
}

void
tree_check (const struct tree *t,
            bool (*edge) (void *opaque, page_t page, unsigned level),
            void *opaque)
{
  struct check c = { .a = t->arena, .edge = edge, .opaque = opaque };
  uint64_t root = root_load (t);
  int64_t data = 0, owned = 0;

  if (root & ROOT_CLOSED) {
    fprintf (stderr, "tree: the gate was left closed\n");
    abort ();
  }
  check_below (&c, root_page (root), root_height (root));
  if (root_page (root) >= PAGE_FIRST)
    count_data (t, root_page (root), root_height (root), &data, &owned);
  if (data != (int64_t) tree_mapped (t)) {
    fprintf (stderr, "tree: %" PRId64 " pages hold data, but %" PRIu64
             " are counted\n", data, tree_mapped (t));
    abort ();
  }
  if (owned != (int64_t) tree_owned (t)) {
    fprintf (stderr, "tree: invariant T7 broken: %" PRId64 " pages are owned, "
             "but %" PRIu64 " are counted\n", owned, tree_owned (t));
    abort ();
  }
  if (atomic_load (&t->quota_reserved) != 0) {
    fprintf (stderr, "tree: a quota reservation of %" PRId64 " pages was "
             "left\n",
             atomic_load (&t->quota_reserved));
    abort ();
  }
}
