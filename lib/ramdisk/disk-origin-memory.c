/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of origins: eviction of fetched pages, and prefetch, which uses only
 * memory that nobody needs.  disk-origin.h has the design.
 */

#include <config.h>

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/cond.h"
#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"

/* ------------------------------------------------------------- eviction */

/* The least that is evicted at once, in pages, because each eviction costs a
 * grace period.
 */
#define EVICT_LEAST 256

/* How often to retry a tree whose gate is closed for a moment, and the wait in
 * between, in nanoseconds.
 */
#define GATE_TRIES 20
#define GATE_WAIT 1000000

/* Was a cluster used since the hand last passed?  It is not marked after that.
 */
static bool
take_mark (struct origin *o, uint64_t index)
{
  _Atomic uint8_t *mark = &o->mark[index / ORIGIN_CLUSTER & (o->nmarks - 1)];
  bool used = atomic_load_explicit (mark, memory_order_relaxed);

  if (used)
    atomic_store_explicit (mark, 0, memory_order_relaxed);
  return used;
}

/* Unlink the pages of a cluster.  Returns how many.  Call it in a reader
 * section.
 */
static unsigned
evict_cluster (struct origin *o, struct node *leaf, uint64_t index,
               struct retired *r)
{
  struct tree *t = &o->cache->tree;
  unsigned n = 0;
  uint64_t i;

  for (i = index; i < index + ORIGIN_CLUSTER; i++) {
    page_t page = leaf_load (leaf, i);

    STRESS_POINT ();
    if (page >= PAGE_FIRST && leaf_swap (leaf, i, page, PAGE_HOLE)) {
      tree_count (t, -1, -(int64_t) tree_owns (t, page));
      retire (r, page, 0);
      n++;
    }
  }
  return n;
}

/* If a leaf has no page, forget what is known of zeros in it.  Returns whether
 * it is empty now, as far as this thread can tell.  Call it in a reader
 * section.
 */
static bool
forget_zeros (struct origin *o, struct node *leaf)
{
  uint64_t known = 0;
  unsigned i;

  for (i = 0; i < NODE_SLOTS; i++)
    if (leaf_load (leaf, i) >= PAGE_FIRST)
      return false;
  for (i = 0; i < NODE_SLOTS; i++)
    known += leaf_load (leaf, i) == PAGE_ZERO &&
      leaf_swap (leaf, i, PAGE_ZERO, PAGE_HOLE);
  atomic_fetch_sub_explicit (&o->known, known, memory_order_relaxed);
  return true;
}

/* Unlink an empty leaf, and the nodes above that are empty then.  This thread
 * may have the lock already, and others may have it who wait for origins.lock.
 * Returns how many nodes that were.
 */
static uint64_t
prune (struct origin *o, uint64_t index)
{
  struct tree *t = &o->cache->tree;
  struct tree_op op;
  uint64_t n;

  if (!mutex_try_lock (&t->lock))
    return 0;
  tree_op_begin (&op, o->set->arena, false);
  n = tree_prune_locked (t, &op, index);
  tree_unlock (t);
  tree_op_end (&op);
  return n;
}

/* Evict from one leaf, starting at the hand.  *got: pages; *nodes: those that
 * were unlinked.  Returns false if the gate is closed.
 */
static bool
evict_leaf (struct origin *o, uint64_t want, uint64_t *got, uint64_t *nodes)
{
  struct retired r = { .n = 0 };
  uint64_t index = o->hand, start = index, span, end;
  bool used = false, empty = false;
  struct node *leaf;
  page_t page;

  rcu_enter ();
  page = tree_find_exclusive (&o->cache->tree, index, &span);
  if (page == WRITER_MUST_LOCK) {
    rcu_exit ();
    return false;
  }
  end = index + min (span, o->pages - index);
  if (page < PAGE_FIRST)
    index = end;
  else {
    leaf = node_at (o->set->arena, page);
    for (; index < end && *got + r.n < want &&
           r.n + ORIGIN_CLUSTER <= RETIRE_MAX; index += ORIGIN_CLUSTER)
      if (take_mark (o, index))
        used = true;
      else
        evict_cluster (o, leaf, index, &r);
    /* What was used is kept, and with it what is known of the rest. */
    empty = index >= end && !used && forget_zeros (o, leaf);
  }
  rcu_exit ();
  *got += r.n;
  o->hand = index < o->pages ? index : 0;
  atomic_fetch_sub_explicit (&o->known, r.n, memory_order_relaxed);
  atomic_fetch_add_explicit (&o->evicted, r.n, memory_order_relaxed);
  arena_retire (o->set->arena, &r);
  if (empty)
    *nodes += prune (o, start);
  return true;
}

/* Evict pages, and nodes without pages.  Returns how many pages; *nodes: and
 * nodes.  At most two rounds: in the first one, every cluster may be marked.
 */
static uint64_t
evict_from (struct origin *o, uint64_t want, uint64_t *nodes)
{
  uint64_t got = 0, last, turns = 0;
  unsigned tries = 0;

  if (atomic_load_explicit (&o->complete, memory_order_acquire))
    return 0;
  while (got + *nodes < want && turns < 3 &&
         root_page (root_load (&o->cache->tree)) >= PAGE_FIRST) {
    last = o->hand;
    if (!evict_leaf (o, want, &got, nodes)) {
      if (++tries == GATE_TRIES)
        break;
      nanosleep (&(struct timespec) { .tv_nsec = GATE_WAIT }, NULL);
    }
    else if (o->hand <= last)
      turns++;
  }
  return got;
}

uint64_t
origin_evict (void *origins, uint64_t n)
{
  struct origins *set = origins;
  uint64_t got = 0, nodes = 0;
  struct origin *o;

  if (rcu_prepare () == -1)
    return 0;
  n = n > EVICT_LEAST ? n : EVICT_LEAST;
  mutex_lock (&set->lock);
  for (o = set->list; o && got + nodes < n; o = o->next) {
    uint64_t more = 0;

    got += evict_from (o, n - got - nodes, &more);
    nodes += more;
  }
  atomic_fetch_sub_explicit (&set->held, (int64_t) got, memory_order_relaxed);
  mutex_unlock (&set->lock);
  return got + nodes;
}

bool
origin_take_room (struct origins *set, uint64_t n)
{
  int64_t held = atomic_fetch_add_explicit (&set->held, (int64_t) n,
                                            memory_order_relaxed) + n;

  while (set->limit && held > (int64_t) set->limit) {
    if (origin_evict (set, held - set->limit) == 0) {
      origin_give_room (set, n);
      return false;
    }
    held = atomic_load_explicit (&set->held, memory_order_relaxed);
  }
  return true;
}

void
origin_give_room (struct origins *set, uint64_t n)
{
  atomic_fetch_sub_explicit (&set->held, (int64_t) n, memory_order_relaxed);
}

/* ------------------------------------------------------------- prefetch */

/* How much is prefetched at once, in pages: 1 MiB; and the range of a block
 * status request, in bytes.
 */
#define PREFETCH_PAGES 256
#define PREFETCH_MAP (UINT64_C (256) << 20)

/* How long to wait for memory, or for a server that is away. */
#define PREFETCH_WAIT (500 * NS_PER_MS)

/* Prefetch leaves this part of the arena to others. */
#define PREFETCH_SPARE 16

/* Sleep for some time, or until the origin ends. */
static void
rest (struct origin *o, int64_t ns)
{
  int64_t until = clock_now () + ns;

  mutex_lock (&o->lock);
  while (!o->ending && clock_now () < until)
    cond_wait_until (&o->changed, &o->lock, until);
  mutex_unlock (&o->lock);
}

static bool
is_ending (struct origin *o)
{
  bool ending;

  mutex_lock (&o->lock);
  ending = o->ending;
  mutex_unlock (&o->lock);
  return ending;
}

/* Is there memory for one more run, without eviction? */
static bool
has_room (struct origin *o)
{
  struct origins *set = o->set;
  struct arena_stats stats;

  if (set->limit && atomic_load_explicit (&set->held, memory_order_relaxed) +
      PREFETCH_PAGES > (int64_t) set->limit)
    return false;
  arena_stats (set->arena, &stats);
  return stats.used + PREFETCH_PAGES * PAGE_BYTES <=
    stats.limit - stats.limit / PREFETCH_SPARE;
}

static int
ignore_extent (void *opaque, uint64_t offset, uint64_t length,
               enum extent_type type)
{
  (void) opaque;
  (void) offset;
  (void) length;
  (void) type;
  return 0;
}

/* Fetch all missing pages from *page on.  Returns false if the origin ends, or
 * if a page could not be fetched.
 */
static bool
prefetch_all (struct origin *o)
{
  uint64_t page = 0, mapped = 0, first, end, next;
  int64_t due = clock_now ();
  bool ok = true;

  while (origin_missing (o, page, o->pages, &first, &end)) {
    if (is_ending (o))
      return false;
    if (!has_room (o)) {
      rest (o, PREFETCH_WAIT);
      continue;
    }
    if (first << PAGE_SHIFT >= mapped) {
      uint64_t offset = first << PAGE_SHIFT;
      uint64_t count = min (PREFETCH_MAP, o->size - offset);

      mapped = offset + count;
      (void) origin_extents (o, count, offset, ignore_extent, NULL);
      continue;
    }
    end = min (end, first + PREFETCH_PAGES);
    if (origin_fetch_run (o, first, end, &next) == -1) {
      ok = false;
      rest (o, PREFETCH_WAIT);
    }
    page = next > first ? next : end;
    if (o->rate) {
      int64_t now = clock_now ();

      due += (int64_t) ((page - first) << PAGE_SHIFT) * 1e9 / o->rate;
      if (due > now)
        rest (o, due - now);
      else
        due = now;
    }
  }
  return ok;
}

void *
origin_prefetch (void *origin)
{
  struct origin *o = origin;

  if (rcu_prepare () == -1)
    return NULL;
  while (!is_ending (o)) {
    if (prefetch_all (o) && origin_complete (o))
      break;
    rest (o, PREFETCH_WAIT);
  }
  return NULL;
}
