/* SPDX-License-Identifier: BSD-3-Clause */
/* Several disks at one instant.  disk.h has the contract.
 *
 * All trees are locked; then a reference to each root is added, so that every
 * writer who comes finds it shared and queues for the lock; then one grace
 * period is waited for, until those who found theirs exclusive have left.  At
 * its end nobody stores to any of the disks, nor could have begun to since the
 * last root became shared: that is the instant.  A request that was
 * acknowledged before is in the contents, and so is all that had to be
 * acknowledged before it could begin.
 *
 * A request of more than a section may have a part of it before the instant
 * (D5).
 *
 * Nobody else holds two trees' locks, and whoever comes here takes them in the
 * order of their addresses.
 */

#include <config.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "ramdisk/disk-parts.h"
#include "ramdisk/disk.h"

static int
by_address (const void *a, const void *b)
{
  const struct disk *x = *(struct disk *const *) a;
  const struct disk *y = *(struct disk *const *) b;

  return (x > y) - (x < y);
}

/* Each disk once, in the order in which to lock them. */
static size_t
sort (struct disk *const *d, size_t n, struct disk **sorted)
{
  size_t i, unique = 0;

  for (i = 0; i < n; i++)
    sorted[i] = d[i];
  qsort (sorted, n, sizeof *sorted, by_address);
  for (i = 0; i < n; i++)
    if (unique == 0 || sorted[unique - 1] != sorted[i])
      sorted[unique++] = sorted[i];
  return unique;
}

/* With all locked. */
static void
share_locked (struct disk *const *d, size_t n, uint64_t *root) NO_TSA
{
  bool wait = false;
  size_t i;

  for (i = 0; i < n; i++)
    wait |= tree_share_begin_locked (&d[i]->tree, &root[i]);
  if (wait)
    rcu_grace_period ();
}

static int
together (struct disk *const *d, struct disk **copy, size_t n, bool disown)
  NO_TSA
{
  CLEANUP_FREE struct disk **sorted = malloc (n * sizeof *sorted + 1);
  CLEANUP_FREE uint64_t *root = malloc (n * sizeof *root + 1);
  CLEANUP_FREE int64_t *mapped = malloc (n * sizeof *mapped + 1);
  size_t i, unique;

  if (sorted == NULL || root == NULL || mapped == NULL || rcu_prepare () == -1)
    return -1;
  for (i = 0; i < n; i++) {
    copy[i] = disown ? disk_new (d[i]->tree.arena, 0, d[i]->sector_size)
      : disk_new_unnamed (d[i]->tree.arena, 0, d[i]->sector_size);
    if (copy[i] == NULL)
      goto error;
  }
  unique = sort (d, n, sorted);
  for (i = 0; i < unique; i++)
    tree_lock_first (&sorted[i]->tree);
  share_locked (d, n, root);
  for (i = 0; i < n; i++) {
    mapped[i] = tree_mapped (&d[i]->tree);
    atomic_store_explicit (&copy[i]->size, disk_size (d[i]),
                           memory_order_relaxed);
    disk_share_origin (copy[i], d[i]);
  }
  for (i = 0; i < unique; i++) {
    if (disown)
      tree_disown_locked (&sorted[i]->tree);
    tree_unlock (&sorted[i]->tree);
  }
  for (i = 0; i < n; i++) {
    record_store_size (copy[i]->tree.record, disk_size (copy[i]));
    tree_adopt (&copy[i]->tree, root[i], mapped[i]);
    mark_written (copy[i]);
  }
  return 0;

 error:
  while (i-- > 0)
    disk_free (copy[i]);
  return -1;
}

int
disk_freeze (struct disk *const *d, struct disk **frozen, size_t n)
{
  return together (d, frozen, n, false);
}

int
disk_clone_together (struct disk *const *d, struct disk **clone, size_t n)
{
  return together (d, clone, n, true);
}
