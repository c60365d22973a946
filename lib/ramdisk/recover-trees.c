/* SPDX-License-Identifier: BSD-3-Clause */
/* The trees in an arena's file, during recovery.  recover.h has the design. */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/node.h"
#include "ramdisk/radix.h"
#include "ramdisk/recover-parts.h"

/* Is a node all right, and all nodes below it?  The first that is not is noted
 * for the current disk.
 */
static bool
check_nodes (struct recoverer *r, page_t page, unsigned level)
{
  uint8_t *kind = &r->kind[page];
  struct node *node = node_at (&r->p->a, page);
  bool bad = false;
  unsigned i;

  if ((*kind & KIND_LEVEL) == level) {
    if (*kind & KIND_BAD)
      recover_damage (r->current, "page %" PRIu32 " is damaged", page);
    return !(*kind & KIND_BAD);
  }
  /* What a damaged disk took for a node of another level may be right here. */
  if ((*kind && !(*kind & KIND_BAD)) || r->effort == 0) {
    recover_damage (r->current, "page %" PRIu32 " is no node of level %u", page,
                    level);
    return false;
  }
  r->effort--;
  *kind = level;
  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = slot_load (node, i);

    if (child < PAGE_FIRST)
      continue;
    if (!recover_is_page (r, child)) {
      recover_damage (r->current, "page %" PRIu32 " leads to page %" PRIu32
                      ", which has no space", page, child);
      bad = true;
      break;
    }
    if (level > 1)
      bad |= !check_nodes (r, child, level - 1);
  }
  if (bad)
    *kind |= KIND_BAD;
  return !bad;
}

/* Do the leaves below lead to data only?  All nodes are known by now.  Notes
 * what data there is, and in arena.owner_generation a prefetch hint (radix.h).
 */
static bool
check_leaves (struct recoverer *r, page_t page, unsigned level)
{
  uint8_t *kind = &r->kind[page];
  struct node *node = node_at (&r->p->a, page);
  page_t last = PAGE_HOLE, prefetch_hint = PAGE_HOLE;
  unsigned i, run = 0;
  uint64_t n = 0, nodes = 1;
  bool bad = false;

  if (*kind & KIND_CHECKED) {
    if (*kind & KIND_BAD)
      recover_damage (r->current, "page %" PRIu32 " is damaged", page);
    return !(*kind & KIND_BAD);
  }
  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = slot_load (node, i);

    if (child < PAGE_FIRST)
      continue;
    if (level > 1) {
      bad |= !check_leaves (r, child, level - 1);
      n += r->below[child].data;
      nodes += r->below[child].nodes;
      continue;
    }
    n++;
    if (r->kind[child] && !(r->kind[child] & KIND_BAD)) {
      recover_damage (r->current, "page %" PRIu32 " has page %" PRIu32
                      " as data, which is a node", page, child);
      bad = true;
    }
    run = child == last + 1 ? run + 1 : 1;
    last = child;
    if (run == PREFETCH_RUN && child >= i)
      prefetch_hint = child - i;
  }
  /* No page is twice in one tree.  That matters: what is there more often could
   * keep whoever walks the tree busy for ever.
   */
  if (n + nodes > r->pages) {
    recover_damage (r->current,
                    "page %" PRIu32 " leads to more pages than there are",
                    page);
    bad = true;
    n = nodes = 0;
  }
  *kind |= KIND_CHECKED | (bad ? KIND_BAD : 0);
  r->below[page] = (struct below) { n, nodes };
  /* A bad leaf may be another disk's data. */
  if (level == 1)
    atomic_store_explicit (&r->p->a.owner_generation[page],
                           bad ? PAGE_HOLE : prefetch_hint,
                           memory_order_relaxed);
  return !bad;
}

/* Count a run of n data pages that a leaf holds side by side.  Returns false if
 * one of them has no space, or is something else.
 */
static bool
scan_run (struct recoverer *r, page_t page, unsigned n)
{
  _Atomic uint32_t *refs = &r->p->a.refs[page];
  uint8_t *kind = &r->kind[page], other = 0;
  uint32_t most = 0;
  unsigned i, k;

  /* The first page of a group is a map, and no data. */
  if (page + (uint64_t) n > r->pages || page % LAYOUT_GROUP_PAGES == 0 ||
      page % LAYOUT_GROUP_PAGES + n > LAYOUT_GROUP_PAGES)
    return false;
  for (i = 0; i < n; i += k) {
    unsigned bit = (page + i) % 64;
    uint64_t mask, word;

    k = 64 - bit < n - i ? 64 - bit : n - i;
    mask = UINT64_MAX >> (64 - k) << bit;
    word = atomic_load_explicit (arena_file_bits (&r->p->a,
                                                  (page + i) / CHUNK_PAGES,
                                                  (page + i) % CHUNK_PAGES / 64),
                                 memory_order_relaxed);
    if (~word & mask)
      return false;
  }
  for (i = 0; i < n; i++)
    other |= kind[i] & ~KIND_DATA;
  if (other)                    /* and it stays that: check_leaves looks */
    return false;
  memset (kind, KIND_DATA, n);
  for (i = 0; i < n; i++) {
    uint32_t count = atomic_load_explicit (&refs[i], memory_order_relaxed);

    if (count > most)
      most = count;
    r->used += count == 0;
    atomic_store_explicit (&refs[i], count + 1, memory_order_relaxed);
  }
  return most < UINT32_MAX / 2;
}

/* The data pages of a leaf, in runs of neighbours: an image that was written in
 * order has long ones.
 */
static bool
scan_leaf (struct recoverer *r, page_t page)
{
  struct node *node = node_at (&r->p->a, page);
  page_t prefetch_hint = PAGE_HOLE;
  uint64_t data = 0;
  unsigned i, n;

  for (i = 0; i < NODE_SLOTS; i += n) {
    page_t first = atomic_load_explicit (&node->slot[i], memory_order_relaxed);

    n = 1;
    if (first < PAGE_FIRST)
      continue;
    while (i + n < NODE_SLOTS &&
           atomic_load_explicit (&node->slot[i + n], memory_order_relaxed) ==
           first + n)
      n++;
    if (!scan_run (r, first, n))
      return false;
    data += n;
    if (n >= PREFETCH_RUN && first >= i)
      prefetch_hint = first - i;
  }
  r->below[page] = (struct below) { .data = data, .nodes = 1 };
  atomic_store_explicit (&r->p->a.owner_generation[page], prefetch_hint,
                         memory_order_relaxed);
  return data < r->pages;
}

/* What nearly always is all there is to do: look at each node once, and count.
 * Returns false as soon as something is wrong; check_nodes and check_leaves
 * then begin anew, and tell what it is and whose.
 */
static bool
scan (struct recoverer *r, page_t page, unsigned level)
{
  struct node *node = node_at (&r->p->a, page);
  uint64_t data = 0, nodes = 1;
  unsigned i;

  if (r->kind[page] && r->kind[page] != level)
    return false;
  recover_count_one (r, page);
  if (r->kind[page])
    return true;
  r->kind[page] = level;
  if (level == 1)
    return scan_leaf (r, page);
  for (i = 0; i < NODE_SLOTS; i++) {
    page_t child = atomic_load_explicit (&node->slot[i], memory_order_relaxed);

    if (child < PAGE_FIRST)
      continue;
    if (!recover_is_page (r, child) || !scan (r, child, level - 1))
      return false;
    data += r->below[child].data;
    nodes += r->below[child].nodes;
  }
  if (data + nodes > r->pages)
    return false;
  r->below[page] = (struct below) { data, nodes };
  return true;
}

/* Count the references below one.  All of it was checked. */
static bool
count (struct recoverer *r, page_t page, unsigned level)
{
  struct arena *a = &r->p->a;
  struct node *node;
  unsigned i;

  if (arena_refs (a, page) == 0 && level > 0) {
    node = node_at (a, page);
    for (i = 0; i < NODE_SLOTS; i++) {
      page_t child = slot_load (node, i);

      if (child >= PAGE_FIRST && level > 1)
        count (r, child, level - 1);
      else if (child >= PAGE_FIRST)
        recover_count_one (r, child);
    }
  }
  recover_count_one (r, page);
  return true;
}

/* Call fn for the tree of each disk that is not damaged, and note what it has
 * found.  Returns whether it was true for all.
 */
static bool
each_tree (struct recoverer *r,
           bool (*fn) (struct recoverer *r, page_t page, unsigned level))
{
  bool ok = true;
  size_t i;

  for (i = 0; i < r->nfound; i++) {
    struct found *d = &r->found[i];
    uint64_t root = atomic_load (&d->record->root);

    r->current = d;
    if (d->damaged || root_page (root) < PAGE_FIRST)
      continue;
    if (!recover_is_page (r, root_page (root)))
      recover_damage (d, "its tree leads to page %" PRIu32
                      ", which has no space", root_page (root));
    else {
      ok &= fn (r, root_page (root), root_height (root));
      d->mapped = r->below[root_page (root)].data;
    }
  }
  return ok;
}

static size_t
count_damaged (const struct recoverer *r)
{
  size_t i, n = 0;

  for (i = 0; i < r->nfound; i++)
    n += r->found[i].damaged;
  return n;
}

static void
forget_counts (struct recoverer *r)
{
  uint64_t page;

  for (page = 0; page < r->pages; page++)
    atomic_store_explicit (&r->p->a.refs[page], 0, memory_order_relaxed);
  r->used = 0;
}

/* What pages were taken for, and their counts.  Also the prefetch hints: for a
 * page that is data after all, that would be the generation of its owner (T7).
 */
static void
forget (struct recoverer *r)
{
  uint64_t page;

  for (page = 0; page < r->pages; page++) {
    if (r->kind[page] != KIND_RECORDS)
      r->kind[page] = 0;
    atomic_store_explicit (&r->p->a.owner_generation[page], 0,
                           memory_order_relaxed);
  }
  forget_counts (r);
}

/* Some that were not damaged have been given up since. */
void
recover_count_again (struct recoverer *r)
{
  forget_counts (r);
  each_tree (r, count);
}

/* How often to begin anew because of damage.  Each time may cost as much as a
 * whole recovery, and a file that was made for it could ask for one time for
 * each disk.
 */
#define MOST_ROUNDS 16

/* Once more if there was damage: what only damaged disks lead to are no nodes,
 * and no reason to find anything wrong with others.  After MOST_ROUNDS it may
 * be: then more disks than necessary are given up, but none is accepted that
 * should not be.
 */
void
recover_check_trees (struct recoverer *r)
{
  size_t before = count_damaged (r);
  unsigned round = 0;

  if (each_tree (r, scan)) {
    recover_check_complete (r);
    if (count_damaged (r) == before)
      return;
  }
  do {
    forget (r);
    before = count_damaged (r);
    r->effort = r->pages;
    each_tree (r, check_nodes);
    recover_spread_damage (r);
  } while (count_damaged (r) > before && ++round < MOST_ROUNDS);
  each_tree (r, check_leaves);
  recover_check_complete (r);
  recover_spread_damage (r);
  each_tree (r, count);
}
