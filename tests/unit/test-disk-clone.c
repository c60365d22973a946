/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks: resize, clone and diff. */

#include "unit.h"

#include "ramdisk/disk.h"
#include "tests/unit/disk-fixture.h"

static void
test_shrink_and_grow (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 10 * GIB);

  put (d, 0, 4 * P, 'x');
  put (d, 9 * GIB, P, 'y');
  assert_int_equal (0, disk_resize (d, P + 100));
  assert_int_equal (P + 100, disk_size (d));
  assert_int_equal (2 * P, disk_mapped (d));
  assert_int_equal (3, used (f));       /* the tree has one level now */
  assert_errno (EINVAL, disk_read (d, &(char) { 0 }, 1, P + 100));
  assert_errno (ENOSPC, disk_write (d, "x", 1, P + 100));
  assert_int_equal (0, disk_resize (d, 20 * GIB));
  expect (d, 0, P + 100, 'x');
  expect (d, P + 100, 8 * P, 0);
  expect (d, 9 * GIB, P, 0);
  put (d, 19 * GIB, P, 'z');
  expect (d, 19 * GIB, P, 'z');
}

static void
test_resize_to_nothing (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);

  put (d, 0, 4 * P, 'x');
  assert_int_equal (0, disk_resize (d, 0));
  assert_int_equal (0, used (f));
  assert_int_equal (0, disk_resize (d, DISK_MAX_SIZE));
  expect (d, 0, P, 0);
  assert_errno (EINVAL, disk_resize (d, DISK_MAX_SIZE + 1));
}

/* A disk that shares its pages is shrunk; the clone keeps them. */
static void
test_shrink_shared (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;

  put (d, 0, 4 * P, 'x');
  put (d, GIB - P, P, 'y');
  c = clone_to (f, 1, d);
  assert_int_equal (0, disk_resize (d, 100));
  assert_int_equal (0, disk_resize (d, GIB));
  expect (d, 0, 100, 'x');
  expect (d, 100, 4 * P, 0);
  expect (c, 0, 4 * P, 'x');
  expect (c, GIB - P, P, 'y');
}

static void
test_clone_is_independent (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c, *e;

  put (d, 0, 8 * P, 'x');
  c = clone_to (f, 1, d);
  e = clone_to (f, 2, c);
  put (d, P, P, 'd');
  put (c, 2 * P + 10, 10, 'c');
  assert_int_equal (0, disk_trim (e, P, 3 * P));
  assert_int_equal (0, disk_zero (e, 10, 4 * P, false));

  expect (d, 0, P, 'x');
  expect (d, P, P, 'd');
  expect (d, 2 * P, 6 * P, 'x');
  expect (c, 0, 2 * P + 10, 'x');
  expect (c, 2 * P + 10, 10, 'c');
  expect (c, 2 * P + 20, 6 * P - 20, 'x');
  expect (e, 0, 3 * P, 'x');
  expect (e, 3 * P, P + 10, 0);
  expect (e, 4 * P + 10, 4 * P - 10, 'x');
  assert_int_equal (8 * P, disk_mapped (d));
  assert_int_equal (8 * P, disk_mapped (c));
  assert_int_equal (7 * P, disk_mapped (e));
  /* 2 nodes and 8 pages, and for each disk 2 nodes and its changed pages. */
  assert_int_equal (4 * 2 + 8 + 1 + 1 + 1 - 2, used (f));
}

static void
test_clone_costs_no_page (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t before;

  put (d, 0, 1000 * P, 'x');
  before = used (f);
  clone_to (f, 1, d);
  assert_int_equal (before, used (f));
  disk_free (f->disk[1]);
  f->disk[1] = NULL;
  assert_int_equal (before, used (f));
  /* The only user again: overwriting copies nothing. */
  put (d, 0, 1000 * P, 'y');
  assert_int_equal (before, used (f));
}

static void
test_clone_of_empty (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c = clone_to (f, 1, d);

  put (c, 0, P, 'x');
  expect (d, 0, P, 0);
  assert_int_equal (GIB, disk_size (c));
}

static void
test_clone_outlives_source (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;

  put (d, 5 * P, 5 * P, 'x');
  c = clone_to (f, 1, d);
  disk_free (d);
  f->disk[0] = NULL;
  arena_reclaim (f->a);
  expect (c, 5 * P, 5 * P, 'x');
  put (c, 5 * P, 5 * P, 'y');
  expect (c, 5 * P, 5 * P, 'y');
}

/* Trimming whole subtrees of a clone leaves the source alone. */
static void
test_trim_clone (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;

  put (d, 0, 3 * LEAF + P, 'x');
  c = clone_to (f, 1, d);
  assert_int_equal (0, disk_trim (c, 2 * LEAF + P, P));
  expect (c, 0, P, 'x');
  expect (c, P, 2 * LEAF, 0);
  expect (c, 2 * LEAF + 2 * P, LEAF - P, 'x');
  expect (d, 0, 3 * LEAF + P, 'x');
}

/* ---------------------------------------------------------------------- */

static int
add_diff (void *opaque, uint64_t offset, uint64_t length)
{
  char *text = opaque;

  sprintf (text + strlen (text), "%g+%g ", (double) offset / P,
           (double) length / P);
  return 0;
}

static void
expect_diff (struct disk *a, struct disk *b, const char *want)
{
  char text[256] = "";

  assert_int_equal (0, disk_diff (a, b, 0, add_diff, NULL, text));
  assert_string_equal (want, text);
  text[0] = '\0';
  assert_int_equal (0, disk_diff (b, a, 0, add_diff, NULL, text));
  assert_string_equal (want, text);
}

static bool
at_the_third (void *opaque)
{
  return ++*(unsigned *) opaque == 3;
}

/* The walk checks whether to give up, even if nothing differs. */
static void
test_diff_ends (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 4 * LEAF), *e = new_disk (f, 1, 4 * LEAF);
  unsigned asked = 0, i;

  for (i = 0; i < 4; i++) {
    put (d, i * LEAF, P, 'x');
    put (e, i * LEAF, P, 'x');
  }
  assert_int_equal (-1, disk_diff (d, e, 0, add_diff, at_the_third, &asked));
  assert_int_equal (ECANCELED, errno);
  assert_int_equal (3, asked);
}

static void
test_diff (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;

  put (d, 0, 100 * P, 'x');
  expect_diff (d, d, "");
  c = clone_to (f, 1, d);
  expect_diff (d, c, "");
  put (c, P, 2 * P, 'y');
  put (d, 3 * P + 1, 1, 'z');
  put (c, 500 * P, P, 'y');
  assert_int_equal (0, disk_trim (d, P, 99 * P));
  put (c, 7 * P, P, 'x');       /* another page, the same content */
  put (c, 600 * P, P, 0);       /* a page, but of zeros */
  expect_diff (d, c, "1+3 99+1 500+1 ");
}

static void
test_diff_sizes (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 10 * P), *c;

  put (d, 0, 10 * P, 'x');
  c = clone_to (f, 1, d);
  assert_int_equal (0, disk_resize (c, 100 * GIB));
  expect_diff (d, c, "");
  put (c, 50 * GIB, P, 'y');
  expect_diff (d, c, "1.31072e+07+1 ");
  assert_int_equal (0, disk_resize (c, 5 * P + 10));
  expect_diff (d, c, "5+5 ");
}

static void
test_diff_unrelated (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 10 * P), *c = new_disk (f, 1, 5 * P + 1);

  put (d, 0, P, 'x');
  put (c, 0, P, 'x');
  put (c, 5 * P, 1, 'y');
  expect_diff (d, c, "5+1 ");
  assert_int_equal (0, disk_zero (d, P, 0, false));
  expect_diff (d, c, "0+1 5+1 ");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_shrink_and_grow),
    TEST (test_resize_to_nothing),
    TEST (test_shrink_shared),
    TEST (test_clone_is_independent),
    TEST (test_clone_costs_no_page),
    TEST (test_clone_of_empty),
    TEST (test_clone_outlives_source),
    TEST (test_trim_clone),
    TEST (test_diff),
    TEST (test_diff_ends),
    TEST (test_diff_sizes),
    TEST (test_diff_unrelated),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
