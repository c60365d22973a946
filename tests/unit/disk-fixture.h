/* SPDX-License-Identifier: BSD-3-Clause */
/* An arena with disks for the unit tests of disks. */

#ifndef TESTS_DISK_FIXTURE_H
#define TESTS_DISK_FIXTURE_H

#include <stdint.h>

#include "ramdisk/disk.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define P ((uint64_t) PAGE_BYTES)
#define LEAF (4 * MIB)          /* what one leaf covers */

#define MOST_DISKS 8

struct fixture {
  struct arena *a;              /* of 64 MiB */
  struct disk *disk[MOST_DISKS];        /* slots, which teardown frees */
};

/* For cmocka.  teardown checks the engine's invariants. */
int setup (void **state);
int teardown (void **state);

/* Create a disk, or a clone, in a slot. */
struct disk *new_disk (struct fixture *f, unsigned slot, uint64_t size);
struct disk *clone_to (struct fixture *f, unsigned slot, struct disk *d);

/* Write count bytes c. */
void put (struct disk *d, uint64_t offset, uint64_t count, int c);

/* All bytes of the range must be c. */
void expect (struct disk *d, uint64_t offset, uint64_t count, int c);

/* The pages of the arena that are in use, after reclamation. */
uint64_t used (struct fixture *f);

/* Extents must be as the text says: "d" data, "z" zero, "h" hole, "s" shared,
 * each with its pages and a blank.  add_text is the callback that makes it.
 */
int add_text (void *opaque, uint64_t offset, uint64_t length,
              enum extent_type type);
void expect_extents (struct disk *d, uint64_t offset, uint64_t count,
                     const char *want);

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

#endif /* TESTS_DISK_FIXTURE_H */
