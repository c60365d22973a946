/* SPDX-License-Identifier: BSD-3-Clause */
/* The layout of a node of the tree: one page of page numbers. */

#ifndef MRAMDISK_NODE_H
#define MRAMDISK_NODE_H

#include <assert.h>
#include <stdatomic.h>

#include "ramdisk/arena.h"

#define NODE_SHIFT 10
#define NODE_SLOTS (1u << NODE_SHIFT)

struct node {
  _Atomic page_t slot[NODE_SLOTS];
};

static_assert (sizeof (struct node) == PAGE_BYTES, "a node is a page");

static inline struct node *
node_at (const struct arena *a, page_t page)
{
  return arena_addr (a, page);
}

/* Acquire: pairs with the release of the thread that linked the page (T1 in
 * radix.h).
 */
static inline page_t
slot_load (struct node *node, unsigned i)
{
  return atomic_load_explicit (&node->slot[i], memory_order_acquire);
}

#endif /* MRAMDISK_NODE_H */
