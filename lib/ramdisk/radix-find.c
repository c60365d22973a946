/* SPDX-License-Identifier: BSD-3-Clause */
/* Descending the tree of a disk: what is there, and the cost of a write.
 */

#include <config.h>

#include "ramdisk/arena.h"
#include "ramdisk/node.h"
#include "ramdisk/radix.h"
#include "ramdisk/rcu.h"

page_t
tree_find_sharing (const struct tree *t, uint64_t index, uint64_t *span,
                   bool *shared)
{
  uint64_t root = root_load (t);
  unsigned level = root_height (root);
  page_t page = root_page (root);

  *shared = false;
  if (index >= height_span (level)) {
    *span = UINT64_MAX;
    return PAGE_HOLE;
  }
  while (page >= PAGE_FIRST) {
    *shared |= arena_refs (t->arena, page) != 1;
    if (level == 1)
      break;
    page = slot_load (node_at (t->arena, page), slot_index (index, level));
    level--;
  }
  *span = height_span (level) - (index & (height_span (level) - 1));
  return page;
}

uint64_t
tree_exclusive (const struct tree *t, uint64_t index, uint64_t *span)
{
  uint64_t root = root_load (t), n = 0;
  unsigned level = root_height (root), i;
  page_t page = root_page (root);
  struct node *node;

  if (index >= height_span (level)) {
    *span = UINT64_MAX;
    return 0;
  }
  while (page >= PAGE_FIRST && arena_refs (t->arena, page) == 1 && level > 1) {
    page = slot_load (node_at (t->arena, page), slot_index (index, level));
    level--;
  }
  *span = height_span (level) - (index & (height_span (level) - 1));
  if (page < PAGE_FIRST || arena_refs (t->arena, page) != 1)
    return 0;
  node = node_at (t->arena, page);
  for (i = slot_index (index, 1); i < NODE_SLOTS; i++) {
    page = slot_load (node, i);
    n += page >= PAGE_FIRST && arena_refs (t->arena, page) == 1;
  }
  return n;
}

page_t
tree_find_exclusive (const struct tree *t, uint64_t index, uint64_t *span)
{
  uint64_t root = root_load (t);
  unsigned level = root_height (root);
  page_t page = root_page (root);

  if (root & ROOT_CLOSED || index >= height_span (level))
    return WRITER_MUST_LOCK;
  STRESS_POINT ();
  for (;;) {
    if (page < PAGE_FIRST)
      break;
    if (arena_refs (t->arena, page) != 1)
      return WRITER_MUST_LOCK;
    if (level == 1)
      break;
    page = slot_load (node_at (t->arena, page), slot_index (index, level));
    level--;
  }
  *span = height_span (level) - (index & (height_span (level) - 1));
  return page;
}

/* The number of nodes that must be created or copied on the path to a page.
 * *leaf: the leaf if it can be used as it is, else PAGE_HOLE. all: include
 * nodes that are also on the path to the page before.  In a reader section.
 */
static uint64_t
path_cost (const struct tree *t, uint64_t index, bool all, page_t *leaf)
{
  uint64_t root = root_load (t), cost = 0;
  unsigned level = root_height (root);
  page_t page = root_page (root);
  bool exclusive = true;

  for (;;) {
    exclusive = exclusive && page >= PAGE_FIRST &&
      arena_refs (t->arena, page) == 1;
    if (!exclusive && (all || (index & (height_span (level) - 1)) == 0))
      cost++;
    if (level == 1)
      break;
    if (page >= PAGE_FIRST)
      page = slot_load (node_at (t->arena, page), slot_index (index, level));
    level--;
  }
  *leaf = exclusive ? page : PAGE_HOLE;
  return cost;
}

/* The number of nodes and pages needed to write pages first to last, all below
 * one leaf.
 */
static uint64_t
leaf_cost (const struct tree *t, uint64_t first, uint64_t last, bool all)
{
  page_t leaf, page;
  uint64_t cost = path_cost (t, first, all, &leaf), i;

  if (leaf == PAGE_HOLE)
    return cost + last - first + 1;
  for (i = first; i <= last; i++) {
    page = slot_load (node_at (t->arena, leaf), slot_index (i, 1));
    if (page < PAGE_FIRST || arena_refs (t->arena, page) != 1)
      cost++;
  }
  return cost;
}

/* The nodes of others that are above a page: if the range has other content
 * elsewhere below one of them, that is copied.  In a reader section.
 */
static uint64_t
shared_above (const struct tree *t, uint64_t index)
{
  uint64_t root = root_load (t), cost = 0;
  unsigned level = root_height (root);
  page_t page = root_page (root);
  bool exclusive = true;

  for (; page >= PAGE_FIRST; level--) {
    exclusive = exclusive && arena_refs (t->arena, page) == 1;
    cost += !exclusive;
    if (level == 1)
      break;
    page = slot_load (node_at (t->arena, page), slot_index (index, level));
  }
  return cost;
}

uint64_t
tree_fill_cost (const struct tree *t, uint64_t index, page_t fill, bool part,
                bool most)
{
  uint64_t span, cost = 0;
  page_t page, leaf;

  rcu_enter ();
  page = tree_find (t, index, &span);
  if (page != fill) {
    cost = path_cost (t, index, true, &leaf);
    if (page >= PAGE_FIRST)
      page = slot_load (node_at (t->arena, page), slot_index (index, 1));
    if (part && page >= PAGE_FIRST &&
        (cost > 0 || arena_refs (t->arena, page) != 1))
      cost++;
  }
  else if (most)
    cost = shared_above (t, index);
  rcu_exit ();
  return cost;
}

uint64_t
tree_cost (const struct tree *t, uint64_t first, uint64_t last)
{
  uint64_t cost = 0, i, end;

  for (i = first; i <= last; i = end + 1) {
    end = i | (NODE_SLOTS - 1);
    if (end > last)
      end = last;
    rcu_enter ();
    cost += leaf_cost (t, i, end, i == first);
    rcu_exit ();
  }
  return cost;
}

uint64_t
tree_not_owned (const struct tree *t, uint64_t first, uint64_t last)
{
  uint64_t n = last - first + 1, i, end, span;

  for (i = first; i <= last; i = end + 1) {
    page_t page;

    end = i | (NODE_SLOTS - 1);
    if (end > last)
      end = last;
    rcu_enter ();
    page = tree_find (t, i, &span);
    if (page >= PAGE_FIRST) {
      struct node *leaf = node_at (t->arena, page);
      uint64_t j;

      for (j = i; j <= end; j++) {
        page = slot_load (leaf, slot_index (j, 1));
        n -= page >= PAGE_FIRST && tree_owns (t, page);
      }
    }
    rcu_exit ();
  }
  return n;
}
