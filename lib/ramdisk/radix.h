/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree: which page of the arena holds which page of a disk.
 *
 * Design
 *
 * A radix tree of 1024-way nodes, each itself a page of the arena.  The height
 * depends on the disk's size: 1 up to 4 MiB, 2 up to 4 GiB, 6 for 2^63-1 bytes.
 * A slot of a leaf (level 1) refers to a data page, a slot above it to a node
 * one level lower.  Any slot may instead be PAGE_HOLE or PAGE_ZERO, which
 * stands for everything below it.  So an empty disk has no node, and a disk of
 * 2^60 bytes that was zeroed as a whole has at most one.
 *
 *          root word: [closed | height | page]
 *                        |
 *          level 2     [ . . hole . zero . ]
 *                        |     \
 *          level 1     [ ... ]  [ ... ]          <- the leaves
 *                        |
 *          level 0     4 KiB of data
 *
 * Trees share pages.  Each slot, and each root, counts as one reference to its
 * page.  A page is exclusive to a tree if every page on the path to it, and the
 * page itself, has one reference; all other pages may be shared with clones,
 * and are never changed.  To change a shared node, a writer copies it, raises
 * the counts of its children, publishes the copy, and only then retires the old
 * one (the scheme of btrfs; O. Rodeh, "B-trees, shadowing, and clones", 2008).
 *
 * Readers descend the tree in a reader section and take no lock.  Writers do
 * the same as long as the path is exclusive and the gate is open: they store
 * into data pages in place, and exchange slots of leaves with compare and swap.
 * Everything else takes the tree's lock: creating nodes, un-sharing them, and
 * the operations below.
 *
 * Clone.  All that a clone does to a tree is add a reference to its root: from
 * then on, each writer finds the root shared, and queues for the lock.  Writers
 * that found it exclusive just before may still be storing.  So the clone waits
 * for a grace period before it becomes visible, and contains what they store.
 *
 * The gate.  Shrinking, and unlinking whole subtrees, must also exclude
 * writers: one that checked the size before a shrink would store beyond the
 * end, where a later growth would expose it.  Such an operation sets
 * ROOT_CLOSED in the root word, waits for a grace period, does its work and
 * clears the bit.  In each reader section, a writer loads the root word first;
 * if the gate is closed, it queues.
 *
 * Quotas.  A tree owns the data pages that it has allocated since it was last
 * cloned.  For each data page, arena.owner_generation has the generation of the
 * tree that linked it.  No two trees have the same generation, and a tree that
 * is cloned gets a new one, so disowning all pages is one store.  Pages that
 * become exclusive again because a clone is freed are not owned: the count is
 * what the disk has written, not what would be free without it.
 *
 * The prefetch hint.  Loading a slot of a leaf usually misses the caches, and
 * loading the data page misses them again.  But images are usually written in
 * order, into neighbouring pages.  So a leaf into which a run of pages was
 * written has a prefetch hint in arena.owner_generation, which nodes do not
 * need otherwise: the number of the page that would then be in slot 0.  Readers
 * begin to load the page to which the hint leads before they know the right
 * one.  A wrong prefetch hint costs a little time, and nothing else.
 *
 * Invariants
 *
 *   T1  At any instant, the tree that the root word leads to is whole: each
 *       store that publishes a page comes after all stores to that page and to
 *       the counts of its children (release; loads on the way down acquire).
 *   T2  Slots above the leaves, and the root word, change only under the lock.
 *   T3  A shared page, node or data, is never changed.
 *   T4  After a second reference to a page was added, a grace period ends
 *       before anyone can use that reference, unless the page was a child of a
 *       shared node.  So a writer that finds a path exclusive in a reader
 *       section may store until the end of that section.
 *   T5  While a shared page is copied, the copier holds a reference of its own
 *       to it (the pin).  Otherwise another disk could give up its reference,
 *       writers of this tree would find the page exclusive, and what they store
 *       during the copy would be lost.
 *   T6  A page that an unlinked slot referred to stays until no reader can be
 *       in it (A3), and its count stays up as long (A4).
 *
 *   T7  The sum of tree_counter.owned is the number of linked data pages whose
 *       owner generation is the tree's generation.  The generation changes
 *       under the lock, with no writer in flight.
 *   T8  With a quota, owned + quota_reserved <= quota, except for pages that
 *       the tree owned when the quota was made smaller, or that others unlinked
 *       while a request to the same pages ran.
 *
 * What keeps a page alive?  Nodes, under the lock: the root, because only the
 * holder of the lock unlinks nodes (T2).  Everything else: the reader section
 * in which it was found (T6).  A node that was copied is still linked until the
 * copy is published, so its references must not be handed over before that
 * (tree_op_room, tree_op_end).
 *
 * Thread-safety
 *   in a reader section:           tree_find, tree_find_exclusive
 *   with the lock held, in no
 *     reader section:              all that end in _locked
 *   in no reader section, because
 *     it may wait for a grace
 *     period:                      tree_op_*, tree_unshare, tree_destroy
 */

#ifndef MRAMDISK_RADIX_H
#define MRAMDISK_RADIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "ramdisk/arena.h"
#include "ramdisk/node.h"
#include "ramdisk/rcu.h"

/* 2^63-1 bytes are 2^51 pages; 6 levels reach 2^60. */
#define TREE_MAX_HEIGHT 6

/* The distance between prefetches, in bytes.  Where cache lines are longer,
 * this is only a little slower.
 */
#define CACHE_LINE 64

/* The root word: page number, height, gate. */
#define ROOT_HEIGHT_SHIFT 32
#define ROOT_CLOSED (UINT64_C (1) << 63)

/* The number of mapped pages, and of owned ones, counted by the threads that
 * map and unmap them.  A few counters, each for some of the threads and in a
 * cache line of its own; only the sum is meaningful.
 */
#define TREE_COUNTERS 8
struct tree_counter {
  _Alignas (64) _Atomic int64_t mapped;
  _Atomic int64_t owned;
};

#define TREE_NO_QUOTA UINT64_MAX

struct tree {
  struct tree_counter count[TREE_COUNTERS];
  struct arena *arena;
  _Atomic uint64_t root;
  _Atomic uint64_t quota;       /* bytes that the tree may own, or none */
  _Atomic uint32_t generation;  /* T7 */
  struct mutex lock;
  struct mutex turn;            /* see tree_lock_first */
  _Atomic unsigned urgent;      /* threads that are to go first */
  struct layout_record *record; /* in the arena's file, or NULL (records.h) */
  /* Pages that operations in flight may come to own, while there is a quota.
   * In a cache line of its own: readers need the one above.
   */
  _Alignas (64) _Atomic int64_t quota_reserved;
};

/* The credit of an operation for pages, and the references that it gives up.
 * It is on the stack of the operation; tree_op_end settles it.
 */
struct tree_op {
  struct arena *arena;
  uint64_t credit;              /* pages reserved and not yet allocated */
  bool overdraft;               /* see arena_reserve */
  bool unlimited;               /* by the quota: not requested by a client */
  struct tree *quota_tree;      /* which one's quota, or NULL */
  int64_t quota_reservation;    /* pages */
  struct retired retired;       /* copied, or unlinked and counted */
  struct retired removed;       /* unlinked, data pages below not yet counted */
};

/* Initialise an empty tree for a disk of this many pages. */
void tree_init (struct tree *t, struct arena *a, uint64_t pages);

/* Restore a tree from a record in an arena's file, with this many mapped pages.
 * It owns those that only it refers to.  Reference counts must be right
 * already.  No other call may run.
 */
void tree_restore (struct tree *t, struct layout_record *record,
                   int64_t mapped);

/* Whether the tree of this root word has the height for a disk of this many
 * pages, and nothing beyond its end.
 */
bool tree_ends_at (const struct arena *a, uint64_t root, uint64_t pages);

/* Free everything that the tree holds.  It must not be in use. */
void tree_destroy (struct tree *t);

static inline page_t
root_page (uint64_t root)
{
  return (page_t) root;
}

static inline unsigned
root_height (uint64_t root)
{
  return root >> ROOT_HEIGHT_SHIFT & 0xff;
}

static inline uint64_t
root_word (page_t page, unsigned height)
{
  return (uint64_t) height << ROOT_HEIGHT_SHIFT | page;
}

/* The root word as stored in a record: without the gate. */
static inline uint64_t
tree_record_root (const struct tree *t)
{
  return atomic_load_explicit (&t->root, memory_order_relaxed) & ~ROOT_CLOSED;
}

/* The number of pages below one slot of a node of this level (1: a leaf). */
static inline uint64_t
slot_span (unsigned level)
{
  return UINT64_C (1) << (NODE_SHIFT * (level - 1));
}

static inline unsigned
slot_index (uint64_t index, unsigned level)
{
  return index >> (NODE_SHIFT * (level - 1)) & (NODE_SLOTS - 1);
}

/* Mutexes are not fair: a writer at full speed takes the lock again before a
 * thread that it has just woken runs, and could keep a clone waiting until the
 * whole disk is un-shared.  So requests let clone, resize and the like go
 * first.  Order: turn, then lock.
 */
static inline void
tree_lock_first (struct tree *t) ACQUIRE (t->lock)
{
  atomic_fetch_add_explicit (&t->urgent, 1, memory_order_relaxed);
  mutex_lock (&t->turn);
  mutex_lock (&t->lock);
  mutex_unlock (&t->turn);
  atomic_fetch_sub_explicit (&t->urgent, 1, memory_order_relaxed);
}

/* For a request of a client. */
static inline void
tree_lock (struct tree *t) ACQUIRE (t->lock)
{
  if (atomic_load_explicit (&t->urgent, memory_order_relaxed)) {
    mutex_lock (&t->turn);
    mutex_unlock (&t->turn);
  }
  mutex_lock (&t->lock);
}

static inline void
tree_unlock (struct tree *t) RELEASE (t->lock)
{
  mutex_unlock (&t->lock);
}

/* The number of pages that a tree of this height can hold. */
static inline uint64_t
height_span (unsigned height)
{
  return UINT64_C (1) << (NODE_SHIFT * height);
}

/* Acquire: pairs with the release of root_store. */
static inline uint64_t
root_load (const struct tree *t)
{
  return atomic_load_explicit (&t->root, memory_order_acquire);
}

/* Find a page of the disk.  Returns the page number of its leaf; or PAGE_HOLE
 * or PAGE_ZERO, and in *span the number of pages from index on for which that
 * holds.
 */
static inline page_t
tree_find (const struct tree *t, uint64_t index, uint64_t *span)
{
  uint64_t root = root_load (t);
  unsigned level = root_height (root);
  page_t page = root_page (root);

  /* A reader that checked the size before a shrink may still get here. */
  if (index >= height_span (level)) {
    *span = UINT64_MAX;
    return PAGE_HOLE;
  }
  for (; page >= PAGE_FIRST && level > 1; level--) {
    STRESS_POINT ();
    page = slot_load (node_at (t->arena, page), slot_index (index, level));
  }
  *span = height_span (level) - (index & (height_span (level) - 1));
  return page;
}

/* The same for a writer, which may store if it gets a leaf: the path down to
 * the leaf is exclusive (the data page need not be).  WRITER_MUST_LOCK: the
 * gate is closed, or something on the path is shared.
 */
#define WRITER_MUST_LOCK UINT32_MAX
page_t tree_find_exclusive (const struct tree *t, uint64_t index,
                            uint64_t *span);

/* Like tree_find; also tells whether the path to the leaf is shared. */
page_t tree_find_sharing (const struct tree *t, uint64_t index,
                          uint64_t *span, bool *shared);

/* The number of exclusive data pages among the *span pages from index on, which
 * it has examined.  In a reader section.
 */
uint64_t tree_exclusive (const struct tree *t, uint64_t index,
                         uint64_t *span);

/* The number of pages from first to last (inclusive) that the tree does not
 * own.
 */
uint64_t tree_not_owned (const struct tree *t, uint64_t first, uint64_t last);

/* The most pages, nodes included, that a write of pages first to last
 * (inclusive) needs if nothing else changes the tree in the meantime.
 */
uint64_t tree_cost (const struct tree *t, uint64_t first, uint64_t last);

/* The number of pages needed to fill the first or last page of a range with
 * PAGE_HOLE or PAGE_ZERO. part: only a part of that page is to be zero.  most:
 * if the page is filled already, other pages of the range may not be.
 */
uint64_t tree_fill_cost (const struct tree *t, uint64_t index, page_t fill,
                         bool part, bool most);

static inline void
tree_op_begin (struct tree_op *op, struct arena *a, bool overdraft)
{
  op->arena = a;
  op->credit = 0;
  op->overdraft = overdraft;
  op->unlimited = false;
  op->quota_tree = NULL;
  op->quota_reservation = 0;
  op->retired.n = 0;
  op->removed.n = 0;
}

/* Reserve credit up to n pages in total.  Returns 0, or -1 with errno ENOSPC.
 */
int tree_op_reserve (struct tree_op *op, uint64_t n);

/* Reserve quota, so that the operation may own up to n more pages.  Returns 0,
 * or -1 with errno EDQUOT.
 */
int tree_op_reserve_quota (struct tree_op *op, struct tree *t, uint64_t n);

/* Use up the reservation for n pages: the tree now owns them. */
void tree_op_quota_spent (struct tree_op *op, unsigned n);

/* Allocate pages with the credit of the operation, and take more credit if it
 * has too little.  Returns 0; or -1 with errno ENOSPC, and then nothing is
 * allocated.
 */
int tree_op_alloc (struct tree_op *op, unsigned n, bool zeroed, page_t *pages);

/* Free a page from tree_op_alloc that was not linked. */
void tree_op_unalloc (struct tree_op *op, page_t page);

/* Make room for n more in op->retired.  May wait for a grace period. */
void tree_op_room (struct tree_op *op, unsigned n);

/* Return unspent credit and quota, and hand over what was retired. */
void tree_op_end (struct tree_op *op);

/* Make the path to the leaf of page index exclusive, with new nodes where there
 * are none.  Returns the leaf; or NULL with errno ENOSPC, and then a part of
 * the path may be exclusive, which does no harm.
 */
struct node *tree_leaf_locked (struct tree *t, struct tree_op *op,
                               uint64_t index)
  REQUIRES (t->lock);

/* Set pages first to last (inclusive) to PAGE_HOLE or PAGE_ZERO, whole subtrees
 * at once.  Waits for a grace period with the gate closed.  Returns 0; or -1
 * with errno ENOSPC, and then some may have been set.
 */
int tree_fill_locked (struct tree *t, struct tree_op *op, uint64_t first,
                      uint64_t last, page_t fill) REQUIRES (t->lock);

/* If the leaf of page index is empty, unlink it, and the nodes above that are
 * then empty too.  Waits for a grace period.  Returns how many nodes those are.
 */
unsigned tree_prune_locked (struct tree *t, struct tree_op *op, uint64_t index)
  REQUIRES (t->lock);

/* Close the gate, and wait until no writer is inside; open the gate. */
void tree_close_locked (struct tree *t) REQUIRES (t->lock);
void tree_open_locked (struct tree *t) REQUIRES (t->lock);

/* Set the height to what this many pages need.  To reduce it, the pages beyond
 * must be holes, and the gate closed.  Returns 0, or -1 with errno ENOSPC (only
 * when growing).
 */
int tree_set_height_locked (struct tree *t, struct tree_op *op,
                            uint64_t pages)
  REQUIRES (t->lock);

/* Take a reference to the content that the tree has at one instant between call
 * and return.  The cost does not depend on the size.  Waits for writers in
 * flight, unless everything is shared already.  The caller owns the reference
 * in *root.
 */
void tree_share_locked (struct tree *t, uint64_t *root, int64_t *mapped)
  REQUIRES (t->lock);

/* The same in two steps, for several trees at once.  If this returns true for
 * one of them, *root may be used, and the lock given back, only after a grace
 * period, and the content is that of its end.  tree_mapped is exact then.
 */
bool tree_share_begin_locked (struct tree *t, uint64_t *root)
  REQUIRES (t->lock);

/* The tree owns none of its pages any more: it was cloned. */
void tree_disown_locked (struct tree *t) REQUIRES (t->lock);

/* Give an empty tree a content from tree_share_locked. */
void tree_adopt (struct tree *t, uint64_t root, int64_t mapped);

/* Give up a reference from tree_share_locked. */
void tree_unshare (struct arena *a, uint64_t root);

/* The number of pages that hold data.  Exact while nothing is written. */
uint64_t tree_mapped (const struct tree *t);

/* The number of pages that the tree owns.  Exact while nothing is written. */
uint64_t tree_owned (const struct tree *t);

/* Mark a data page as owned by the tree, before it is linked. */
static inline void
tree_set_owner_generation (const struct tree *t, page_t page)
{
  uint32_t generation = atomic_load_explicit (&t->generation,
                                              memory_order_relaxed);

  atomic_store_explicit (&t->arena->owner_generation[page], generation,
                         memory_order_relaxed);
}

/* A run of this many pages, linked at once, sets a prefetch hint. */
#define PREFETCH_RUN 8

/* n pages, the first of which is page, are linked in a leaf from this slot on.
 */
static inline void
tree_note_run (const struct tree *t, page_t leaf, unsigned slot, page_t page,
               unsigned n)
{
  _Atomic uint32_t *prefetch_hint = &t->arena->owner_generation[leaf];

  if (n >= PREFETCH_RUN &&
      atomic_load_explicit (prefetch_hint, memory_order_relaxed) != page - slot)
    atomic_store_explicit (prefetch_hint, page - slot, memory_order_relaxed);
}

/* Begin to load the page that is probably in a slot: len bytes at offset, or as
 * many as the page has.
 */
static inline void
tree_prefetch (const struct tree *t, page_t leaf, unsigned slot,
               unsigned offset, uint64_t len)
{
  page_t prefetch_hint =
    atomic_load_explicit (&t->arena->owner_generation[leaf],
                          memory_order_relaxed);
  char *p, *end;

  if (prefetch_hint == PAGE_HOLE)
    return;
  p = arena_addr (t->arena, prefetch_hint + slot);
  end = p + (len < PAGE_BYTES - offset ? offset + len : PAGE_BYTES);
  for (p += offset; p < end; p += CACHE_LINE)
    __builtin_prefetch (p);
}

/* Whether the tree owns a data page that it has linked, or just unlinked. */
static inline bool
tree_owns (const struct tree *t, page_t page)
{
  return atomic_load_explicit (&t->arena->owner_generation[page],
                               memory_order_relaxed) ==
    atomic_load_explicit (&t->generation, memory_order_relaxed);
}

/* Release: pairs with the acquire of tree_owned.  A thread that sees a quota
 * reservation given back also sees in owned what it was spent on.
 */
static inline void
tree_count (struct tree *t, int64_t mapped, int64_t owned)
{
  struct tree_counter *c = &t->count[rcu_thread_number () % TREE_COUNTERS];

  if (mapped)
    atomic_fetch_add_explicit (&c->mapped, mapped, memory_order_relaxed);
  if (owned)
    atomic_fetch_add_explicit (&c->owned, owned, memory_order_release);
}

/* Abort with a message if the tree violates the invariants.  The tree must not
 * be in use.  Calls edge for each reference; level 0 leads to a data page.  The
 * walk continues below it if edge returns true, so the caller can count each
 * shared reference once.
 */
void tree_check (const struct tree *t,
                 bool (*edge) (void *opaque, page_t page, unsigned level),
                 void *opaque);

#endif /* MRAMDISK_RADIX_H */
