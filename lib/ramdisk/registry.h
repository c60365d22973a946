/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: which name stands for which disk.
 *
 * Design
 *
 * An array of entries sorted by name.  It is looked at only when a connection
 * opens or closes and by the control operations, so one lock guards it all; a
 * look-up among 10,000 names takes less than a microsecond, and a list can
 * be read page by page in the order of names.
 *
 * A named disk is held by the name and by each handle that is open.  As with
 * unlink(2), removing the name leaves the disk to those who have it open, and
 * it goes with the last of them.  The control operations hold a disk the same
 * way while they work on it, but are no connections.
 *
 * Invariants
 *
 *   G1  Names are unique, valid UTF-8, of at most REGISTRY_MAX_NAME bytes.
 *   G2  A disk is freed when it has neither name nor handle.
 *   G3  A disk that was made by opening its name, and that was never written,
 *       resized, set, cloned nor named in registry_create, loses its name with
 *       its last handle: a probe leaves nothing behind.
 *   G4  A name is replaced in one step; nobody who looks finds it missing.
 *
 *   G5  The listener is told of changes in the order in which they happen to a
 *       name, with the lock held, so it calls nothing here.
 *
 * Thread-safety: all may be called from any thread, except registry_new,
 * registry_listen and registry_free.  They take the registry's lock inside;
 * registry_clone and registry_resize also take a tree's lock, but not both at
 * once.
 */

#ifndef MRAMDISK_REGISTRY_H
#define MRAMDISK_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "figures.h"

/* The NBD protocol's limit for any string it carries ("Values"), in bytes. */
#define REGISTRY_MAX_NAME 4096

struct registry_options {
  uint64_t default_size;        /* bytes, of a disk made by opening it */
  uint64_t max_size;            /* bytes, of any disk */
  uint32_t sector_size;         /* bytes, of such a disk; 1: any bytes */
  size_t max_disks;
  bool auto_create;             /* opening an unknown name makes a disk */
};

/* What a disk is made with. */
struct disk_options {
  uint64_t size;                /* bytes; a clone has its source's */
  uint32_t sector_size;         /* the same */
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
};

/* What to do about a name that is taken. */
enum if_exists { IF_EXISTS_ERROR, IF_EXISTS_IGNORE, IF_EXISTS_REPLACE };

/* What was done. */
enum made { MADE_NEW, MADE_NOTHING, MADE_REPLACEMENT };

enum change {
  CHANGE_CREATED,
  CHANGE_DESTROYED,
  CHANGE_RESIZED,
  CHANGE_CLONED,
  CHANGE_REPLACED,              /* by a new disk, or a clone if from is given */
  CHANGE_SET,                   /* readonly or quota */
  CHANGE_QUOTA,                 /* a write was refused for it */
};

struct change_report {
  enum change change;
  const char *name;
  const char *from;             /* what was cloned, or NULL */
  const struct disk *disk;
  uint64_t old_size;            /* CHANGE_RESIZED */
};

struct registry;

/* A disk in the registry.  The fields may be read by who holds it. */
struct named_disk {
  struct disk *disk;
  char *name;                   /* as it was when it had one */
};

/* A client that has a disk open, for the figures. */
struct connection {
  struct named_disk *d;
  struct figures *figures;
  /* The registry's lists: of the disk's connections, and of all. */
  struct connection *prev, *next, *all_prev, *all_next;
};

/* Takes no ownership of the arena.  NULL: no memory. */
struct registry *registry_new (struct arena *arena,
                               const struct registry_options *options);

/* Free the registry and every disk that nobody has open. */
void registry_free (struct registry *r);

/* Have fn called at each change (G5). */
void registry_listen (struct registry *r,
                      void (*fn) (void *opaque, const struct change_report *),
                      void *opaque);

/* NULL if that is a name for a disk, else what a name must be. */
const char *registry_check_name (const char *name);

/* Make a disk of that name, which may be empty.  A disk that is replaced gives
 * up its name in the same step (G4), and stays to those who have it open.
 * *made, which may be NULL, says what was done.
 * Returns 0, or -1 with errno EEXIST, EINVAL (size, sector size), EFBIG (over
 * max_size), ENFILE (max_disks reached), ENAMETOOLONG or EILSEQ (name), ENOMEM.
 */
int registry_create (struct registry *r, const char *name,
                     const struct disk_options *options,
                     enum if_exists if_exists, enum made *made);

/* Open a disk, and make it if it does not exist and auto_create says so.
 * Returns a handle for registry_close, or NULL with errno ENOENT, or as
 * registry_create.
 */
struct named_disk *registry_open (struct registry *r, const char *name);
void registry_close (struct registry *r, struct named_disk *d);

/* Open a disk that exists.  Returns NULL with errno ENOENT. */
struct named_disk *registry_hold (struct registry *r, const char *name);

/* Open up to n disks whose names come after the given one (NULL: the first), in
 * the order of strcmp(3).  Returns how many; *more: there are others.
 */
size_t registry_hold_page (struct registry *r, const char *after, size_t n,
                           struct named_disk **d, bool *more);

/* Count a connection and its figures to a disk that the caller has open. */
int registry_connect (struct registry *r, struct connection *c,
                      struct named_disk *d);
void registry_disconnect (struct registry *r, struct connection *c);

/* How many connections a disk has, and what was counted on all it ever had. */
size_t registry_figures (struct registry *r, struct named_disk *d,
                         struct figures_sum *sum);

/* The same for all disks that there were; not those of the disk alone. */
size_t registry_all_figures (struct registry *r, struct figures_sum *sum);
size_t registry_connections (struct registry *r, struct named_disk *d);

/* Take the name away.  The disk goes when nobody has it open.
 * Returns 0, or -1 with errno ENOENT.
 */
int registry_destroy (struct registry *r, const char *name);

/* Make to a clone of from.  Else as registry_create.
 * Returns 0, or -1 with errno ENOENT (from), or as registry_create.
 */
int registry_clone (struct registry *r, const char *from, const char *to,
                    const struct disk_options *options,
                    enum if_exists if_exists, enum made *made);

/* Change the size.  *old becomes what it was.
 * Returns 0, or -1 with errno ENOENT, EFBIG (over max_size), or as disk_resize.
 */
int registry_resize (struct registry *r, const char *name, uint64_t size,
                     uint64_t *old);

/* Change what is not NULL.  *now: what holds then.
 * Returns 0, or -1 with errno ENOENT.
 */
int registry_set (struct registry *r, const char *name, const bool *readonly,
                  const uint64_t *quota, struct disk_options *now);

/* Tell the listener that a write was refused for the disk's quota; it hears of
 * it at most once a second for each disk.
 */
void registry_quota_reached (struct registry *r, struct named_disk *d);

/* Call fn for each disk whose name comes after the given one (NULL: for all),
 * in the order of strcmp(3), until it returns other than 0, and return that.
 * The lock is held: fn calls nothing here.
 */
int registry_each (struct registry *r, const char *after,
                   int (*fn) (void *opaque, const struct named_disk *d),
                   void *opaque);

size_t registry_count (struct registry *r);
const struct registry_options *registry_options (const struct registry *r);

#endif /* MRAMDISK_REGISTRY_H */
