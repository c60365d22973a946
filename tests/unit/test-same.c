/* SPDX-License-Identifier: BSD-3-Clause */
/* detect_same: a write of what a shared page holds keeps the page shared. */

#include "unit.h"

#include "ramdisk/disk.h"
#include "tests/unit/engine-check.h"

#define P ((size_t) PAGE_BYTES)
#define PAGES ((size_t) 3 * DISK_SECTION_PAGES)

struct fixture {
  struct arena *a;
  struct disk *disk[2];         /* golden, and a clone of it */
  char *image;
};

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);
  size_t i;

  f->a = arena_create (16 << 20);
  f->image = malloc (PAGES * P);
  for (i = 0; i < PAGES * P; i++)
    f->image[i] = i / P * 7 + i % 251 + 1;
  f->disk[0] = disk_new (f->a, PAGES * P, 1);
  if (disk_write (f->disk[0], f->image, PAGES * P, 0) == -1)
    return 1;
  f->disk[1] = disk_clone (f->disk[0]);
  *state = f;
  return f->disk[1] == NULL;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;
  char *buf = malloc (PAGES * P);
  unsigned i;

  engine_check (f->a, f->disk, 2);
  assert_int_equal (0, disk_read (f->disk[0], buf, PAGES * P, 0));
  assert_memory_equal (f->image, buf, PAGES * P);
  for (i = 0; i < 2; i++)
    disk_free (f->disk[i]);
  engine_check (f->a, NULL, 0);
  arena_destroy (f->a);
  free (f->image);
  free (buf);
  free (f);
  return 0;
}

static uint64_t
owned (struct fixture *f)
{
  return disk_owned (f->disk[1]) / P;
}

/* The clone has the image, but what was changed in it. */
static void
assert_content (struct fixture *f, const char *changed)
{
  char *buf = malloc (PAGES * P);

  assert_int_equal (0, disk_read (f->disk[1], buf, PAGES * P, 0));
  assert_memory_equal (changed, buf, PAGES * P);
  free (buf);
}

static void
test_whole_image (void **state)
{
  struct fixture *f = *state;
  struct arena_stats before, after;

  arena_stats (f->a, &before);
  assert_int_equal (0, disk_write (f->disk[1], f->image, PAGES * P, 0));
  arena_reclaim (f->a);
  arena_stats (f->a, &after);
  assert_int_equal (before.used, after.used);
  assert_int_equal (0, owned (f));
  assert_content (f, f->image);
}

static void
test_needs_no_quota (void **state)
{
  struct fixture *f = *state;

  disk_set_quota (f->disk[1], 0);
  assert_int_equal (0, disk_write (f->disk[1], f->image, PAGES * P, 0));
  assert_int_equal (0, disk_write (f->disk[1], f->image + 5, 3, 5));
  f->image[0] ^= 1;
  assert_errno (EDQUOT, disk_write (f->disk[1], f->image, PAGES * P, 0));
  f->image[0] ^= 1;
  assert_content (f, f->image);
}

static void
test_needs_no_memory (void **state)
{
  struct fixture *f = *state;
  struct arena_stats stats;
  uint64_t rest;

  arena_reclaim (f->a);
  arena_stats (f->a, &stats);
  rest = (stats.limit - stats.used) / P;
  assert_int_equal (0, arena_reserve (f->a, rest, false));
  assert_int_equal (0, disk_write (f->disk[1], f->image, PAGES * P, 0));
  assert_int_equal (0, disk_write (f->disk[1], f->image + P, P, P));
  arena_unreserve (f->a, rest);
}

/* Only the pages that differ are copied, wherever they are in the request. */
static void
test_some_pages (void **state)
{
  static const size_t at[] = { 0, 1, 5, 63, 64, 100, PAGES - 1 };
  struct fixture *f = *state;
  char *changed = malloc (PAGES * P);
  unsigned i, n = sizeof at / sizeof at[0];

  memcpy (changed, f->image, PAGES * P);
  for (i = 0; i < n; i++)
    changed[at[i] * P + i * 600] ^= 1;
  assert_int_equal (0, disk_write (f->disk[1], changed, PAGES * P, 0));
  assert_int_equal (n, owned (f));
  assert_content (f, changed);
  /* And again: some pages are shared, others its own. */
  changed[6 * P] ^= 1;
  assert_int_equal (0, disk_write (f->disk[1], changed, PAGES * P, 0));
  assert_int_equal (n + 1, owned (f));
  assert_content (f, changed);
  free (changed);
}

static void
test_parts_of_pages (void **state)
{
  struct fixture *f = *state;
  char *changed = malloc (PAGES * P);

  memcpy (changed, f->image, PAGES * P);
  assert_int_equal (0, disk_write (f->disk[1], changed + 100, 3 * P, 100));
  assert_int_equal (0, owned (f));
  changed[3 * P + 99] ^= 1;     /* the last byte of the request */
  assert_int_equal (0, disk_write (f->disk[1], changed + 100, 3 * P, 100));
  assert_int_equal (1, owned (f));
  assert_content (f, changed);
  free (changed);
}

static void
test_off (void **state)
{
  struct fixture *f = *state;

  f->disk[1]->detect_same = false;
  assert_int_equal (0, disk_write (f->disk[1], f->image, PAGES * P, 0));
  assert_int_equal (PAGES, owned (f));
  assert_content (f, f->image);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_whole_image),
    TEST (test_needs_no_quota),
    TEST (test_needs_no_memory),
    TEST (test_some_pages),
    TEST (test_parts_of_pages),
    TEST (test_off),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
