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
 * it goes with the last of them.
 *
 * Invariants
 *
 *   G1  Names are unique, valid UTF-8, of at most REGISTRY_MAX_NAME bytes.
 *   G2  A disk is freed when it has neither name nor handle.
 *   G3  A disk that was made by opening its name, and that was never written
 *       nor kept (registry_keep), loses its name with its last handle: a probe
 *       leaves nothing behind.
 *   G4  A name is replaced in one step; nobody who looks finds it missing.
 *
 * Thread-safety: all may be called from any thread, except registry_new and
 * registry_free.  They take the registry's lock inside; registry_clone also
 * takes a tree's lock, but not both at once.
 */

#ifndef MRAMDISK_REGISTRY_H
#define MRAMDISK_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"

/* The NBD protocol's limit for any string it carries ("Values"), in bytes. */
#define REGISTRY_MAX_NAME 4096

struct registry_options {
  uint64_t default_size;        /* bytes, of a disk made by opening it */
  uint64_t max_size;            /* bytes, of any disk */
  uint32_t sector_size;         /* bytes, of a disk made by opening it; 1: any */
  size_t max_disks;
  bool auto_create;             /* opening an unknown name makes a disk */
};

struct registry;

/* A disk in the registry.  The fields may be read by who holds it. */
struct named_disk {
  struct disk *disk;
  char *name;                   /* as it was when it had one */
};

/* Takes no ownership of the arena.  NULL: no memory. */
struct registry *registry_new (struct arena *arena,
                               const struct registry_options *options);

/* Free the registry and every disk that nobody has open. */
void registry_free (struct registry *r);

/* NULL if that is a name for a disk, else what a name must be. */
const char *registry_check_name (const char *name);

/* Make a disk of that name, which may be empty.
 * Returns 0, or -1 with errno EEXIST, EINVAL (size, sector size), EFBIG (over
 * max_size), ENFILE (max_disks reached), ENAMETOOLONG or EILSEQ (name), ENOMEM.
 */
int registry_create (struct registry *r, const char *name, uint64_t size,
                     uint32_t sector_size, bool readonly);

/* Open a disk, and make it if it does not exist and auto_create says so.
 * Returns a handle for registry_close, or NULL with errno ENOENT, or as
 * registry_create.
 */
struct named_disk *registry_open (struct registry *r, const char *name);
void registry_close (struct registry *r, struct named_disk *d);

/* A disk that was made by opening is to stay (G3). */
void registry_keep (struct registry *r, struct named_disk *d);

/* Take the name away.  The disk goes when nobody has it open.
 * Returns 0, or -1 with errno ENOENT.
 */
int registry_destroy (struct registry *r, const char *name);

/* Make to a clone of from, writable or not.  replace: the disk that has the
 * name already gives it up in the same step.
 * Returns 0, or -1 with errno ENOENT (from), or as registry_create.
 */
int registry_clone (struct registry *r, const char *from, const char *to,
                    bool readonly, bool replace);

/* Call fn for each disk whose name comes after the given one (NULL: for all),
 * in the order of strcmp(3), until it returns other than 0, and return that.
 * The lock is held: fn calls nothing here.
 */
int registry_each (struct registry *r, const char *after,
                   int (*fn) (void *opaque, const struct named_disk *d),
                   void *opaque);

size_t registry_count (struct registry *r);

#endif /* MRAMDISK_REGISTRY_H */
