/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree: which page of the arena holds which page of a disk.
 *
 * Design
 *
 * A radix tree of 1024-way nodes, each itself a page of the arena.  The height
 * is what the disk's size needs: 1 up to 4 MiB, 2 up to 4 GiB, 6 for 2^63-1
 * bytes.  A slot of a leaf (level 1) holds a data page, a slot above it a node
 * one level lower, and any slot may hold PAGE_HOLE or PAGE_ZERO instead, which
 * then stands for all that would be below it.  So an empty disk has no node,
 * and a disk of 2^60 bytes that was zeroed as a whole has none or one.
 *
 *          root word: [closed | height | page]
 *                        |
 *          level 2     [ . . hole . zero . ]
 *                        |     \
 *          level 1     [ ... ]  [ ... ]          <- the leaves
 *                        |
 *          level 0     4 KiB of data
 *
 * Trees share.  Each slot, and each root, counts as one reference to the page
 * it names.  What can only be reached through references that are the only one
 * to their page is exclusive to the tree; the rest may be shared with clones
 * and is never changed.  Whoever must change a shared node copies it, raises
 * its children's counts, publishes the copy and only then retires the old one
 * (the scheme of btrfs; O. Rodeh, "B-trees, shadowing, and clones", 2008).
 *
 * Readers go down the tree in a reader section and take no lock.  Writers do
 * the same as long as the path is exclusive and the gate is open: they store
 * into data pages in place, and exchange slots of leaves with compare and swap.
 * All else takes the tree's lock: making nodes, un-sharing them, and what
 * follows here.
 *
 * Clone.  Adding a reference to the root is all that a clone does to a tree:
 * from then on each writer finds the root shared and queues for the lock.  Who
 * found it exclusive just before may still be storing, so the clone waits for
 * a grace period before it shows itself; what those writers store is in it.
 *
 * The gate.  Shrink, and the unlinking of whole subtrees, need the writers out
 * of the way too: one who checked the size before the shrink would store beyond
 * the end, where a later grow would find it.  They set ROOT_CLOSED in the root
 * word, wait for a grace period, do their work and clear it.  A writer looks at
 * the root word first in each reader section; if it is closed he queues.
 *
 * Quotas.  A tree owns the data pages that it allocated since it was last
 * cloned.  arena.birth notes for each data page the generation of the tree that
 * linked it; no two trees have the same, and a clone gives a new one to the
 * tree it is made of, so that to own nothing any more is one store.  Pages that
 * become exclusive again because a clone goes are not owned: the count is what
 * the disk has written, not what would be free without it.
 *
 * The guess.  The load of a leaf's slot mostly misses the caches, and what it
 * names is not there either: two misses, one after the other.  Images are mostly
 * written in order, though, into neighbouring pages.  So a leaf into which
 * a run of them was written has a guess, in arena.birth, which nodes do not
 * need: the number of the page that would then be in slot 0.  Readers begin to
 * load the page that it leads to before they know which page it is.  A wrong
 * guess costs a little time and nothing else.
 *
 * Invariants
 *
 *   T1  At any instant the tree that can be reached from the root word is
 *       whole: each store that publishes a page comes after all stores to
 *       that page and to the counts of its children (release; the loads on the
 *       way down acquire).
 *   T2  Slots above the leaves, and the root word, change only under the lock.
 *   T3  A shared page, node or data, is never changed.
 *   T4  Who adds a second reference to a page waits for a grace period before
 *       anyone can use it, unless the page was a child of a shared node.  So a
 *       writer who finds a path exclusive in a reader section may store until
 *       the end of that section.
 *   T5  Who copies a shared page holds a reference of his own to it meanwhile
 *       (the pin).  Else another disk could give up its reference, this tree's
 *       writers would find the page exclusive, and what they store while the
 *       copy is made would be lost.
 *   T6  What an unlinked slot referred to stays until no reader can be there
 *       (A3), and its count stays up as long (A4).
 *
 *   T7  The sum of tree_counter.owned is the number of linked data pages whose
 *       birth is the tree's generation.  The generation changes under the lock
 *       with no writer in flight.
 *   T8  With a quota, owned + charged <= quota, but for pages that somebody
 *       owned when the quota was made smaller, or that were unlinked by others
 *       while a request to the same pages ran.
 *
 * Who keeps a page alive?  Nodes: under the lock, the root, since only the
 * holder of the lock unlinks nodes (T2).  Everything else: the reader section
 * in which it was found (T6).  A node that was copied is still linked until the
 * copy is published, so its references must not be handed over (tree_op_room,
 * tree_op_end) before that.
 *
 * Thread-safety
 *   wants a reader section:        tree_find, tree_find_exclusive
 *   wants the lock held, and
 *     no reader section:           all that end in _locked
 *   may wait for a grace period, so no reader section either:
 *                                  tree_op_*, tree_unshare, tree_destroy
 */

#ifndef MRAMDISK_RADIX_H
#define MRAMDISK_RADIX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "mutex.h"
#include "node.h"
#include "rcu.h"

/* 2^63-1 bytes are 2^51 pages, and 6 levels reach 2^60. */
#define TREE_MAX_HEIGHT 6

/* The distance at which to prefetch, in bytes; where lines are longer it is only
 * a little slower.
 */
#define CACHE_LINE 64

/* The root word: page number, height, gate. */
#define ROOT_HEIGHT_SHIFT 32
#define ROOT_CLOSED (UINT64_C (1) << 63)

/* Pages that are mapped, and of those the ones the tree owns, counted by those
 * who map and unmap.  One counter for each of a few threads, each in a cache
 * line of its own; only the sum means something.
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
  _Atomic unsigned urgent;      /* threads that want to go first */
  /* Pages that operations in flight may yet come to own, while there is a
   * quota.  In a line of its own: readers need the one above.
   */
  _Alignas (64) _Atomic int64_t charged;
};

/* Credit for pages that an operation may spend, and what it gives up.  An
 * operation makes one on its stack; tree_op_end settles it.
 */
struct tree_op {
  struct arena *arena;
  uint64_t credit;              /* pages reserved and not yet allocated */
  bool overdraft;               /* see arena_reserve */
  bool unlimited;               /* by the quota: no client asked for it */
  struct tree *charged;         /* whose quota it has charge of, or NULL */
  int64_t charge;               /* pages of it */
  struct retired retired;       /* copied, or unlinked and counted */
  struct retired removed;       /* unlinked, data pages below not yet counted */
};

/* An empty tree for a disk of so many pages. */
void tree_init (struct tree *t, struct arena *a, uint64_t pages);

/* Give up all that the tree holds.  Nobody may be using it. */
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

/* How many pages lie below one slot of a node at that level (1: a leaf). */
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

/* Mutexes are not fair: a writer at full speed takes the lock again before one
 * whom he has just woken is there, and could keep a clone waiting for as long as
 * it takes to un-share the whole disk.  So requests stand back for those who
 * want to go first: clone, resize and the like.  Order: turn, then lock.
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

/* How many pages a tree of that height can hold. */
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

/* Find where a page of the disk is.  Returns the leaf's page number; or
 * PAGE_HOLE or PAGE_ZERO, and in *span how many pages from index on are so.
 */
static inline page_t
tree_find (const struct tree *t, uint64_t index, uint64_t *span)
{
  uint64_t root = root_load (t);
  unsigned level = root_height (root);
  page_t page = root_page (root);

  /* A reader who checked the size before a shrink may still come here. */
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

/* The same for a writer, who may store if he gets a leaf: the path down to it
 * is exclusive (not yet the data page).  WRITER_MUST_LOCK: the gate is closed
 * or something on the way is shared.
 */
#define WRITER_MUST_LOCK UINT32_MAX
page_t tree_find_exclusive (const struct tree *t, uint64_t index,
                            uint64_t *span);

/* Like tree_find, and says whether the path to the leaf is shared. */
page_t tree_find_sharing (const struct tree *t, uint64_t index,
                          uint64_t *span, bool *shared);

/* How many data pages from index on are exclusive, out of *span that it looked
 * at.  In a reader section.
 */
uint64_t tree_exclusive (const struct tree *t, uint64_t index,
                         uint64_t *span);

/* How many of the pages first to last (inclusive) the tree does not own. */
uint64_t tree_not_owned (const struct tree *t, uint64_t first, uint64_t last);

/* How many pages, nodes included, a write of pages first to last (inclusive)
 * needs at the most, if nobody else changes the tree meanwhile.
 */
uint64_t tree_cost (const struct tree *t, uint64_t first, uint64_t last);

/* How many pages the first or last page of a range costs that is to be filled
 * with PAGE_HOLE or PAGE_ZERO.  part: of that page only a part is to be zero.
 */
uint64_t tree_fill_cost (const struct tree *t, uint64_t index, page_t fill,
                         bool part);

static inline void
tree_op_begin (struct tree_op *op, struct arena *a, bool overdraft)
{
  op->arena = a;
  op->credit = 0;
  op->overdraft = overdraft;
  op->unlimited = false;
  op->charged = NULL;
  op->charge = 0;
  op->retired.n = 0;
  op->removed.n = 0;
}

/* Make sure of credit for n pages in all.  0, or -1 with errno ENOSPC. */
int tree_op_reserve (struct tree_op *op, uint64_t n);

/* Make sure that the tree's quota lets the operation own n pages more.
 * Returns 0, or -1 with errno EDQUOT.
 */
int tree_op_charge (struct tree_op *op, struct tree *t, uint64_t n);

/* n pages are linked that the tree did not own before. */
void tree_op_charge_spent (struct tree_op *op, unsigned n);

/* Allocate with the operation's credit, or more where it has too little.
 * Returns 0 or -1 with errno ENOSPC; then it has allocated nothing.
 */
int tree_op_alloc (struct tree_op *op, unsigned n, bool zeroed, page_t *pages);

/* Free a page that tree_op_alloc gave and that was not linked. */
void tree_op_unalloc (struct tree_op *op, page_t page);

/* Make room in op->retired for n more.  May wait for a grace period. */
void tree_op_room (struct tree_op *op, unsigned n);

/* Return credit and hand over what was retired. */
void tree_op_end (struct tree_op *op);

/* Make the path to the leaf of page index exclusive, with new nodes where
 * there are none.  Returns the leaf, or NULL with errno ENOSPC (some of the
 * path may then be exclusive, which does no harm).
 */
struct node *tree_leaf_locked (struct tree *t, struct tree_op *op,
                               uint64_t index)
  REQUIRES (t->lock);

/* Set pages first to last (inclusive) to PAGE_HOLE or PAGE_ZERO, whole
 * subtrees at once.  Waits for a grace period with the gate closed.
 * Returns 0 or -1 with errno ENOSPC; then some may have been set.
 */
int tree_fill_locked (struct tree *t, struct tree_op *op, uint64_t first,
                      uint64_t last, page_t fill) REQUIRES (t->lock);

/* If the leaf of page index has become empty, unlink it, with the nodes above
 * that are empty without it.  Waits for a grace period.
 */
void tree_prune_locked (struct tree *t, struct tree_op *op, uint64_t index)
  REQUIRES (t->lock);

/* Close the gate and wait until no writer is inside, and open it. */
void tree_close_locked (struct tree *t) REQUIRES (t->lock);
void tree_open_locked (struct tree *t) REQUIRES (t->lock);

/* Give the tree the height that so many pages need.  To make it lower, the
 * pages beyond must be holes and the gate closed.
 * Returns 0 or -1 with errno ENOSPC (only when growing).
 */
int tree_set_height_locked (struct tree *t, struct tree_op *op,
                            uint64_t pages)
  REQUIRES (t->lock);

/* Take a reference to the tree's content as it is at one instant between call
 * and return.  Costs the same for any size; waits for writers in flight, but
 * not if all is shared already.  The caller owns the reference in *root.
 */
void tree_share_locked (struct tree *t, uint64_t *root, int64_t *mapped)
  REQUIRES (t->lock);

/* The tree owns none of its pages any more: it was cloned. */
void tree_disown_locked (struct tree *t) REQUIRES (t->lock);

/* Fill an empty tree with a content that tree_share_locked gave. */
void tree_adopt (struct tree *t, uint64_t root, int64_t mapped);

/* Give up a reference that tree_share_locked gave. */
void tree_unshare (struct arena *a, uint64_t root);

/* Pages that hold data.  Exact while nobody writes. */
uint64_t tree_mapped (const struct tree *t);

/* Pages that the tree owns.  Exact while nobody writes. */
uint64_t tree_owned (const struct tree *t);

/* Note that a data page of that number is about to be linked. */
static inline void
tree_give_birth (const struct tree *t, page_t page)
{
  uint32_t generation = atomic_load_explicit (&t->generation,
                                              memory_order_relaxed);

  atomic_store_explicit (&t->arena->birth[page], generation,
                         memory_order_relaxed);
}

/* A run of pages this long, linked at once, makes a guess. */
#define GUESS_RUN 8

/* n pages from that one on are linked in a leaf, the first in that slot. */
static inline void
tree_note_run (const struct tree *t, page_t leaf, unsigned slot, page_t page,
               unsigned n)
{
  _Atomic uint32_t *guess = &t->arena->birth[leaf];

  if (n >= GUESS_RUN &&
      atomic_load_explicit (guess, memory_order_relaxed) != page - slot)
    atomic_store_explicit (guess, page - slot, memory_order_relaxed);
}

/* Begin to load what is probably the page in a slot: len bytes at offset, or as
 * many as the page has.
 */
static inline void
tree_prefetch (const struct tree *t, page_t leaf, unsigned slot,
               unsigned offset, uint64_t len)
{
  page_t guess = atomic_load_explicit (&t->arena->birth[leaf],
                                       memory_order_relaxed);
  char *p, *end;

  if (guess == PAGE_HOLE)
    return;
  p = arena_addr (t->arena, guess + slot);
  end = p + (len < PAGE_BYTES - offset ? offset + len : PAGE_BYTES);
  for (p += offset; p < end; p += CACHE_LINE)
    __builtin_prefetch (p);
}

/* Does the tree own a data page that it has linked, or just unlinked? */
static inline bool
tree_owns (const struct tree *t, page_t page)
{
  return atomic_load_explicit (&t->arena->birth[page],
                               memory_order_relaxed) ==
    atomic_load_explicit (&t->generation, memory_order_relaxed);
}

/* Release: pairs with the acquire of tree_owned, so that who finds a charge
 * given back finds in owned what it was spent on.
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

/* Abort with a message if the tree is not as the invariants say, while nobody
 * else uses it.  Calls edge for each reference on the way: level 0 leads to a
 * data page.  Goes on below it if edge returns true; so a caller who has been
 * there may count each reference once.
 */
void tree_check (const struct tree *t,
                 bool (*edge) (void *opaque, page_t page, unsigned level),
                 void *opaque);

#endif /* MRAMDISK_RADIX_H */
