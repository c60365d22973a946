/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the registry share.  registry.h has the design.
 *
 * An entry is freed when it has neither name nor handle (G2).  One that has
 * handles but no name is in registry.deleted.
 *
 * Thread-safety: the fields say which lock they want.
 */

#ifndef MRAMDISK_REGISTRY_PARTS_H
#define MRAMDISK_REGISTRY_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/mutex.h"
#include "ramdisk/arena.h"
#include "ramdisk/registry.h"
#include "ramdisk/stats.h"

/* What a disk is to its clones: they hold it, and it outlasts the disk.
 * Guarded by registry.lock.
 */
struct lineage {
  size_t refs;                  /* the disk's entry, and those of its clones */
  char *name;                   /* of the disk, the last that it had */
  struct entry *entry;          /* of the disk; NULL: it has lost its name */
};

/* A name that a disk had: those who hold the disk may be looking at it. */
struct former_name {
  struct former_name *next;
  char *name;
};

/* Guarded by registry.lock, except for d and resizing. */
struct entry {
  struct named_disk d;          /* first: one is cast to the other */
  struct lineage *self;
  struct lineage *parent;       /* of the disk that was cloned, or NULL */
  struct former_name *former;
  struct mutex resizing;        /* held from a resize to its report (G5) */
  size_t handles;               /* open … */
  size_t opens;                 /* … of which so many are not only held */
  bool listed;                  /* in registry.root */
  bool replaced;                /* registry_unique_uuids_locked is to skip it */
  uint32_t priority;            /* of the tree's node; see registry-tree.c */
  struct entry *left, *right;
  struct entry *before, *after; /* in the order of names */
  bool ephemeral;               /* made by opening, and not kept (G3) */
  bool auto_destroy;            /* goes with its last client (G7) … */
  bool used;                    /* … of which there was one */
  uint32_t cloning;             /* clones of it that are being made (G3) */
  time_t quota_reported;
  bool quota_low;               /* that was reported, too */
  uint32_t connections;
  size_t filters;               /* of the opens those that no client has */
  struct registry_client *first;
  struct stats_sum *closed;     /* of connections that are closed */
  struct entry *deleted_prev, *deleted_next;
};

static inline bool
entry_has_clients (const struct entry *e)
{
  /* Whoever has opened the disk is about to be its client. */
  return e->opens > e->filters;
}

struct registry {
  struct arena *arena;
  struct registry_options o;
  struct mutex lock;
  struct entry *root GUARDED_BY (lock);         /* sorted by name … */
  struct entry *least GUARDED_BY (lock);        /* … and this is the first */
  size_t n GUARDED_BY (lock);
  uint64_t random GUARDED_BY (lock);            /* for priorities */
  struct entry *deleted GUARDED_BY (lock);      /* open, but without a name */
  size_t ndeleted GUARDED_BY (lock);
  struct registry_client *first GUARDED_BY (lock);
  size_t connections GUARDED_BY (lock);
  uint64_t last_client GUARDED_BY (lock);       /* its id */
  struct stats_sum closed GUARDED_BY (lock);
  bool ended GUARDED_BY (lock); /* registry_end was called */
  void (*listener) (void *opaque, const struct change_report *report);
  void *listener_opaque;
};

/* A number for a new disk (named_disk.id). */
uint64_t registry_new_id (void);

/* The disk with that name, or NULL; the first whose name follows it (NULL: the
 * first of all), or NULL.
 */
struct entry *registry_find_locked (struct registry *r, const char *name)
  REQUIRES (r->lock);
struct entry *registry_next_locked (struct registry *r, const char *name)
  REQUIRES (r->lock);

/* Add a disk, whose name is not there; take one out, before its name changes.
 */
void registry_insert_locked (struct registry *r, struct entry *e)
  REQUIRES (r->lock);
void registry_remove_locked (struct registry *r, struct entry *e)
  REQUIRES (r->lock);

/* Tell the listener.  from: what was cloned, or what the name was; or NULL.
 * other: the old size, or the id of the disk that was replaced.
 */
void registry_report_locked (struct registry *r, enum change change,
                             const struct entry *e, const char *from,
                             uint64_t other) REQUIRES (r->lock);

/* A disk is meant to stay, even if it was made by opening it (G3). */
void registry_keep_locked (struct entry *e);

/* The same, and whoever leaves (G7). */
void registry_keep_for_ever_locked (struct entry *e);

/* A client that has opened the disk only holds it from now on. */
void entry_left_locked (struct entry *e, bool by_filter);

/* As registry_clone, of a disk that the caller has open under the name `from`;
 * closes it.
 */
int registry_clone_held (struct registry *r, struct named_disk *src,
                         const char *from, const char *to,
                         const struct disk_options *options,
                         enum if_exists if_exists, enum made *made);

/* Give a disk that has no name yet a UUID that it had before. */
void registry_set_uuid (struct entry *e, const struct uuid *uuid);

/* Of n disks that are about to get their names, give those a new UUID whose own
 * is taken by a disk that keeps its name (G8).  Looks at all disks that there
 * are.  Returns 0 or an errno.
 */
int registry_unique_uuids_locked (struct registry *r, struct entry **e,
                                  size_t n, enum if_exists if_exists)
  REQUIRES (r->lock);

/* A lineage for a disk of that name.  NULL: no memory. */
struct lineage *lineage_new (const char *name);

/* One holder less, who may be NULL. */
void lineage_unref (struct lineage *l);

static inline struct entry *
registry_entry (struct named_disk *d)
{
  return (struct entry *) d;
}

#endif /* MRAMDISK_REGISTRY_PARTS_H */
