/* SPDX-License-Identifier: BSD-3-Clause */
/* Load: recreates disks that were saved in a folder (saved.h), without names.
 *
 * Pages that disks shared in the folder are shared again: a disk begins as a
 * clone of the earlier disk with which it has most in common, and then gets
 * what differs.
 *
 * Thread-safety: one thread runs a load.  Knows nothing of nbdkit.
 */

#ifndef SAVE_LOAD_H
#define SAVE_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/jobs.h"
#include "ramdisk/arena.h"
#include "ramdisk/disk.h"
#include "ramdisk/disk-origin.h"
#include "save/saved.h"

#define LOAD_PHASE "loading"

/* The size of the line that says why an origin cannot be had, in bytes. */
#define LOAD_ORIGIN_WHY 1024

struct loaded_disk {
  char *name;
  struct disk *disk;
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
  struct uuid uuid;             /* as saved, or none */
  char *parent;                 /* the name of what it was cloned from, or NULL;
                                 * … */
  size_t parent_index;          /* … which of these that is, or
                                 * LOADED_NO_PARENT: it is not among them */
};

#define LOADED_NO_PARENT SIZE_MAX

struct loaded {
  struct loaded_disk *disk;     /* in the order of strcmp(3) */
  size_t n;
};

struct load_options {
  const char *path;
  struct arena *arena;
  uint64_t max_size;            /* bytes, of any disk */
  /* Returns NULL if that is a valid name for a disk; otherwise what a name must
   * be.
   */
  const char *(*check_name) (const char *name);
  /* Is the disk wanted?  NULL: all are. */
  bool (*wanted) (void *opaque, const char *name);
  /* Connect to an origin.  Returns it, with one reference; or NULL, and says in
   * why what is wrong, in one line that is escaped.
   */
  struct origin *(*open_origin) (void *opaque, const struct saved_origin *o,
                                 char why[LOAD_ORIGIN_WHY]);
  void *opaque;
  struct job *job;              /* for progress and cancelling, or NULL */
};

/* Returns 0; or -1 and says why, in one line that is escaped.  errno is
 * ECANCELED if the job was cancelled.  Call loaded_free in any case: it frees
 * the disks that are not NULL.
 */
int load_run (const struct load_options *options, struct loaded *loaded,
              char why[SAVED_WHY]);

void loaded_free (struct loaded *loaded);

#endif /* SAVE_LOAD_H */
