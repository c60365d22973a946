/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages of the arena a disk has that nobody changes.  disk.h has the
 * contract.
 */

#include <config.h>

#include <string.h>

#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"

/* A leaf as it is: its slots, or that it is all holes or zeros. */
static page_t
look (struct disk *d, uint64_t index, uint64_t *span, page_t slot[NODE_SLOTS])
{
  struct node *leaf;
  page_t page;
  unsigned i;

  rcu_enter ();
  page = tree_find (&d->tree, index, span);
  if (page >= PAGE_FIRST) {
    leaf = node_at (d->tree.arena, page);
    for (i = 0; i < NODE_SLOTS; i++)
      slot[i] = slot_load (leaf, i);
  }
  rcu_exit ();
  return page;
}

int
disk_pages (struct disk *d, uint64_t first, uint64_t end, page_fn fn,
            void *opaque)
{
  uint64_t pages = min (size_in_pages (disk_size (d)), end), index = first;
  uint64_t span, i, n;
  page_t slot[NODE_SLOTS], page;
  int r = 0;

  if (rcu_prepare () == -1)
    return -1;
  while (index < pages && r == 0) {
    page = look (d, index, &span, slot);
    n = span < pages - index ? span : pages - index;
    if (page == PAGE_ZERO)
      r = fn (opaque, index, n, NULL);
    if (page >= PAGE_FIRST) {
      n = min (NODE_SLOTS - index % NODE_SLOTS, pages - index);
      for (i = 0; i < n && r == 0; i++) {
        page = slot[(index + i) % NODE_SLOTS];
        if (page != PAGE_HOLE)
          r = fn (opaque, index + i, 1, page == PAGE_ZERO ? NULL
                  : arena_addr (d->tree.arena, page));
      }
    }
    index += n;
  }
  return r;
}
