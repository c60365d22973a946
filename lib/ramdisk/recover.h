/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery: from what is in the arena's file to disks.
 *
 * Nothing in the file is trusted: numbers, heights, sizes and names are checked
 * before they are used, and no loop lasts longer than the file is large.  What
 * cannot be right is damage.  It is found before anything is changed; then the
 * file is left as it is, or with salvage the disks that have it are given up.
 *
 * It walks each node once, however many trees share it, and looks at no data
 * page: the time it takes grows with the nodes, and with the pages that one bit
 * and one count each stand for.  Only the caches of origins, which share
 * nothing, and trees with something beyond the end of their disk are walked
 * once more for each record.  How much that may be is limited.
 *
 * How it tells whose the damage is.  If that walk finds anything wrong the
 * nodes are walked again, more slowly.  Nodes are looked at first, from the
 * records down, with each slot.  One that leads nowhere, to a page without
 * space or to a node of another level is damage of every disk that reaches it.
 * Then leaves: a slot for data that leads to somebody's node is damage of the
 * leaf's disks, not of the node's.  A wrong number that leads to another disk's
 * data cannot be found: data has no mark.
 *
 * An origin that is damaged is damage of each disk over it.  But what was
 * fetched can be fetched again: if only that is damaged, salvage gives up that
 * alone, unless the origin was complete and its server need not be there any
 * more.  Without salvage, too, it is given up where the limit is smaller than
 * what the file holds, origin by origin.
 *
 * Thread-safety: wants to be alone.
 */

#ifndef MRAMDISK_RECOVER_H
#define MRAMDISK_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ramdisk/arena.h"
#include "ramdisk/disk.h"

/* How the file was when it was opened. */
enum recovered_from {
  RECOVERED_NEW,                /* made, or begun again */
  RECOVERED_CLEAN,              /* closed cleanly */
  RECOVERED_CRASH,              /* in use: whoever had it has crashed */
};

struct recovery {
  enum recovered_from from;
  uint64_t disks;               /* with a name */
  uint64_t ephemeral;           /* that were dropped */
  uint64_t damaged;             /* that were given up */
  uint64_t used;                /* bytes in use */
  uint64_t microseconds;        /* from the first look to the last */
};

struct recover_options {
  bool salvage;                 /* give up damaged disks, not the file */
  /* NULL if that is a name for a disk, else what it must be. */
  const char *(*check_name) (const char *name);
  /* Called with one line for each disk that is given up. */
  void (*warn) (void *opaque, const char *line);
  void *opaque;
};

#define RECOVERED_NONE SIZE_MAX

struct recovered_disk {
  char *name;                   /* of an origin: its URI */
  struct disk *disk;            /* of an origin: its cache (disk-origin.h) */
  size_t origin;                /* index in recovered.origin, or
                                 * RECOVERED_NONE */
  size_t parent;                /* index in recovered.disk, or
                                 * RECOVERED_NONE */
};

struct recovered {
  struct recovered_disk *disk;  /* ndisks of them, sorted by name */
  size_t ndisks;
  struct recovered_disk *origin; /* norigins of them, behind these */
  size_t norigins;
};

/* Recover what is in the file of an arena that arena_open gave.  The caller
 * takes over the list (it frees recovered.disk), names and disks.  Disks over
 * an origin are to be given it (disk_restore_over).  Returns 0, or -1 with
 * *error, which the caller frees: one line; NULL if there was no memory for
 * it.
 */
int arena_recover (struct arena *a, const struct recover_options *options,
                   struct recovered *recovered, struct recovery *result,
                   char **error);

#endif /* MRAMDISK_RECOVER_H */
