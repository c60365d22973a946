/* SPDX-License-Identifier: BSD-3-Clause */
/* An arena with disks for the unit tests of disks. */

#include "unit.h"

#include "ramdisk/disk.h"
#include "tests/unit/disk-fixture.h"
#include "tests/unit/engine-check.h"

int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  f->a = arena_create (64 * MIB);
  *state = f;
  return f->a == NULL || rcu_prepare () == -1;
}

int
teardown (void **state)
{
  struct fixture *f = *state;
  size_t i;

  engine_check (f->a, f->disk, MOST_DISKS);
  for (i = 0; i < MOST_DISKS; i++)
    disk_free (f->disk[i]);
  engine_check (f->a, NULL, 0);
  arena_destroy (f->a);
  free (f);
  return 0;
}

struct disk *
new_disk (struct fixture *f, unsigned slot, uint64_t size)
{
  f->disk[slot] = disk_new (f->a, size, 1);
  assert_non_null (f->disk[slot]);
  return f->disk[slot];
}

struct disk *
clone_to (struct fixture *f, unsigned slot, struct disk *d)
{
  f->disk[slot] = disk_clone (d);
  assert_non_null (f->disk[slot]);
  return f->disk[slot];
}

void
put (struct disk *d, uint64_t offset, uint64_t count, int c)
{
  char *buf = malloc (count);

  memset (buf, c, count);
  assert_int_equal (0, disk_write (d, buf, count, offset));
  free (buf);
}

void
expect (struct disk *d, uint64_t offset, uint64_t count, int c)
{
  char *buf = malloc (count), *want = malloc (count);

  memset (buf, ~c, count);
  memset (want, c, count);
  assert_int_equal (0, disk_read (d, buf, count, offset));
  assert_memory_equal (want, buf, count);
  free (buf);
  free (want);
}

uint64_t
used (struct fixture *f)
{
  struct arena_stats s;

  arena_reclaim (f->a);
  arena_stats (f->a, &s);
  return s.used / P;
}

int
add_text (void *opaque, uint64_t offset, uint64_t length,
          enum extent_type type)
{
  char *text = opaque;

  (void) offset;
  sprintf (text + strlen (text), "%c%g ", "dzhs"[type], (double) length / P);
  return 0;
}

void
expect_extents (struct disk *d, uint64_t offset, uint64_t count,
                const char *want)
{
  char text[1024] = "";

  assert_int_equal (0, disk_extents (d, count, offset, add_text, text));
  assert_string_equal (want, text);
}
