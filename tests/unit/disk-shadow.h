/* SPDX-License-Identifier: BSD-3-Clause */
/* A few disks, each beside a plain copy of its bytes in memory, and operations
 * on both.  Whatever the disk shows must be what the copy has.
 *
 * Single-threaded.  A difference aborts with a message.
 */

#ifndef TESTS_DISK_SHADOW_H
#define TESTS_DISK_SHADOW_H

#include <stdint.h>

#include "ramdisk/disk.h"

#define SHADOW_DISKS 4

struct shadow {
  struct arena *arena;
  struct disk **disk;           /* SHADOW_DISKS of them, the caller's */
  uint64_t most;                /* bytes that a disk may have */
  char *bytes[SHADOW_DISKS];    /* beyond the size: zeros */
  char *buf;                    /* of requests; grows */
  uint64_t room;                /* its bytes */
  uint64_t size[SHADOW_DISKS];
  unsigned parent[SHADOW_DISKS];        /* what it was cloned from, or itself */
};

enum shadow_kind {
  SHADOW_WRITE, SHADOW_DETECT, SHADOW_READ,
  SHADOW_ZERO, SHADOW_ALLOCATE, SHADOW_TRIM,
  SHADOW_RESIZE, SHADOW_QUOTA,
  SHADOW_CLONE,                 /* of a, in the place of b */
  SHADOW_RESET,                 /* a is a clone of its parent again */
  SHADOW_NEW,                   /* a is destroyed, and a new disk made */
  SHADOW_EXTENTS, SHADOW_SHARING,
  SHADOW_DIFF,                  /* of a and b */
  SHADOW_KINDS
};

struct shadow_op {
  enum shadow_kind kind;
  unsigned a, b;                /* disks */
  uint64_t offset, count;       /* of requests; they may end beyond the disk */
  uint64_t size;                /* RESIZE, NEW, and the quota */
  uint8_t value;                /* what is written; 0: zeros */
};

/* Allocate the copies of disks of at most so many bytes. */
void shadow_init (struct shadow *s, uint64_t most);

/* Create the disks, empty ones of these sizes, and empty the copies.  May be
 * called again, when the disks before are freed.
 */
void shadow_start (struct shadow *s, struct arena *a, struct disk **disk,
                   const uint64_t size[SHADOW_DISKS]);

/* Do it to the disk and to the copy.  A request that fails must have a reason:
 * its end is beyond the disk's, or there is no memory or quota for it; and it
 * has changed nothing (disk.h D4).
 */
void shadow_do (struct shadow *s, const struct shadow_op *op);

/* Compare all disks with their copies. */
void shadow_check (struct shadow *s);

/* Free the copies; the disks stay. */
void shadow_free (struct shadow *s);

#endif /* TESTS_DISK_SHADOW_H */
