/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk owns, and its quota. */

#include "unit.h"

#include <pthread.h>

#include "ramdisk/disk.h"
#include "tests/unit/engine-check.h"

#define P ((uint64_t) PAGE_BYTES)
#define MIB (UINT64_C (1) << 20)
#define DISKS 4

struct fixture {
  struct arena *a;
  struct disk *disk[DISKS];
};

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  f->a = arena_create (64 * MIB);
  f->disk[0] = f->a ? disk_new (f->a, 32 * MIB, 1) : NULL;
  *state = f;
  return f->disk[0] == NULL || rcu_prepare () == -1;
}

/* engine_check sees whether what is counted is what there is (T7). */
static int
teardown (void **state)
{
  struct fixture *f = *state;
  unsigned i;

  engine_check (f->a, f->disk, DISKS);
  for (i = 0; i < DISKS; i++)
    disk_free (f->disk[i]);
  engine_check (f->a, NULL, 0);
  arena_destroy (f->a);
  free (f);
  return 0;
}

/* Each time something else, so that nothing stays shared (detect_same). */
static int
put (struct disk *d, uint64_t page, uint64_t n)
{
  static _Thread_local char last;
  char *buf = malloc (n * P);
  int r;

  memset (buf, ++last, n * P);
  r = disk_write (d, buf, n * P, page * P);
  free (buf);
  return r;
}

static void
assert_owned (struct disk *d, uint64_t pages)
{
  assert_int_equal (pages * P, disk_owned (d));
}

static void
test_counts_pages_not_nodes (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];

  assert_owned (d, 0);
  assert_int_equal (0, put (d, 0, 10));
  assert_int_equal (0, put (d, 5, 10));
  assert_int_equal (0, put (d, 2000, 1));
  assert_owned (d, 16);
  assert_int_equal (0, disk_trim (d, 2 * P, 0));
  assert_owned (d, 14);
  assert_int_equal (0, disk_zero (d, 32 * MIB, 0, false));
  assert_owned (d, 0);
}

static void
test_owns_nothing_after_a_clone (void **state)
{
  struct fixture *f = *state;
  struct disk *d = f->disk[0], *c;

  assert_int_equal (0, put (d, 0, 8));
  c = f->disk[1] = disk_clone (d);
  assert_owned (d, 0);
  assert_owned (c, 0);
  assert_int_equal (0, put (d, 0, 1));
  assert_int_equal (0, put (c, 0, 3));
  assert_int_equal (0, put (c, 0, 3));
  assert_owned (d, 1);
  assert_owned (c, 3);
  /* What is unlinked and was not owned does not count. */
  assert_int_equal (0, disk_trim (c, 4 * P, 0));
  assert_owned (c, 0);
  assert_int_equal (0, disk_trim (d, 32 * MIB, 0));
  assert_owned (d, 0);
}

/* The pages are exclusive again, but not what the disk has written since. */
static void
test_owns_nothing_after_the_clone_goes (void **state)
{
  struct fixture *f = *state;
  struct disk *d = f->disk[0];

  assert_int_equal (0, put (d, 0, 8));
  disk_free (disk_clone (d));
  arena_reclaim (f->a);
  assert_int_equal (0, put (d, 0, 8));
  assert_owned (d, 0);
  assert_int_equal (0, disk_trim (d, 8 * P, 0));
  assert_owned (d, 0);
  assert_int_equal (0, put (d, 0, 8));
  assert_owned (d, 8);
}

static int
ignore_diff (void *opaque, uint64_t offset, uint64_t length)
{
  (void) opaque;
  (void) offset;
  (void) length;
  return 0;
}

/* A diff shares the tree for a while, and that is no clone. */
static void
test_a_diff_takes_nothing (void **state)
{
  struct fixture *f = *state;
  struct disk *d = f->disk[0];

  f->disk[1] = disk_new (f->a, 32 * MIB, 1);
  disk_set_quota (d, 8 * P);
  assert_int_equal (0, put (d, 0, 8));
  assert_int_equal (0, disk_diff (d, f->disk[1], 0, ignore_diff, NULL, NULL));
  assert_owned (d, 8);
  assert_int_equal (0, put (d, 0, 8));
  assert_owned (d, 8);
}

static void
test_refuses_before_anything_is_changed (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];
  char c;

  disk_set_quota (d, 10 * P + 1);       /* whole pages count */
  assert_int_equal (0, put (d, 0, 8));
  assert_errno (EDQUOT, put (d, 6, 5));
  assert_owned (d, 8);
  assert_int_equal (0, disk_read (d, &c, 1, 8 * P));
  assert_int_equal (0, c);
  assert_int_equal (0, put (d, 6, 4));
  assert_owned (d, 10);
  assert_errno (EDQUOT, put (d, 100, 1));
  assert_int_equal (0, put (d, 0, 10)); /* overwrites need nothing */
}

static void
test_room_again_after_trim (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];

  disk_set_quota (d, 4 * P);
  assert_int_equal (0, put (d, 0, 4));
  assert_errno (EDQUOT, put (d, 4, 1));
  assert_int_equal (0, disk_trim (d, P, 0));
  assert_int_equal (0, put (d, 4, 1));
  assert_errno (EDQUOT, put (d, 0, 1));
}

static void
test_quota_can_change (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];

  assert_int_equal (0, put (d, 0, 8));
  disk_set_quota (d, 4 * P);            /* below what it owns */
  assert_errno (EDQUOT, put (d, 8, 1));
  assert_int_equal (0, put (d, 0, 8));
  disk_set_quota (d, 9 * P);
  assert_int_equal (0, put (d, 8, 1));
  assert_errno (EDQUOT, put (d, 9, 1));
  disk_set_quota (d, TREE_NO_QUOTA);
  assert_int_equal (0, put (d, 9, 100));
}

static void
test_none_at_all (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];

  disk_set_quota (d, 0);
  assert_errno (EDQUOT, put (d, 0, 1));
  assert_int_equal (0, disk_zero (d, MIB, 0, false));
  assert_int_equal (0, disk_trim (d, MIB, 0));
}

static void
test_copy_of_a_shared_page_counts (void **state)
{
  struct fixture *f = *state;
  struct disk *c;

  assert_int_equal (0, put (f->disk[0], 0, 8));
  c = f->disk[1] = disk_clone (f->disk[0]);
  disk_set_quota (c, 2 * P);
  assert_int_equal (0, put (c, 0, 2));
  assert_errno (EDQUOT, put (c, 2, 1));
  assert_errno (EDQUOT, disk_write (c, "x", 1, 5 * P + 7));
  assert_int_equal (0, disk_write (c, "x", 1, P + 7));
  assert_owned (c, 2);
}

/* Parts of shared pages at the ends of a zero request: if the quota has no room
 * for them, the pages between them stay too (D4).
 */
static void
test_zero_changes_nothing (void **state)
{
  struct fixture *f = *state;
  char *before = malloc (8 * P), *after = malloc (8 * P);
  struct disk *c;

  assert_int_equal (0, put (f->disk[0], 0, 8));
  assert_int_equal (0, disk_read (f->disk[0], before, 8 * P, 0));
  c = f->disk[1] = disk_clone (f->disk[0]);
  disk_set_quota (c, 0);
  assert_errno (EDQUOT, disk_zero (c, 2 * P + 100, P, false));
  disk_set_quota (c, P);
  assert_errno (EDQUOT, disk_zero (c, 2 * P + 200, P - 100, true));
  assert_int_equal (0, disk_read (c, after, 8 * P, 0));
  assert_memory_equal (before, after, 8 * P);
  assert_owned (c, 0);
  disk_set_quota (c, 2 * P);
  assert_int_equal (0, disk_zero (c, 2 * P + 200, P - 100, true));
  memset (before + P - 100, 0, 2 * P + 200);
  assert_int_equal (0, disk_read (c, after, 8 * P, 0));
  assert_memory_equal (before, after, 8 * P);
  assert_owned (c, 2);
  /* Zeros over zeros need nothing. */
  disk_free (c);
  c = f->disk[1] = disk_clone (f->disk[0]);
  assert_int_equal (0, disk_zero (c, 100, 3 * P, false));
  f->disk[2] = disk_clone (c);
  disk_set_quota (f->disk[2], 0);
  assert_int_equal (0, disk_zero (f->disk[2], 2 * P + 100, P, false));
  free (before);
  free (after);
}

/* Nobody asked for the copy of the last page that a shrink makes. */
static void
test_resize_is_not_refused (void **state)
{
  struct fixture *f = *state;
  struct disk *c;

  assert_int_equal (0, put (f->disk[0], 0, 8));
  c = f->disk[1] = disk_clone (f->disk[0]);
  disk_set_quota (c, 0);
  assert_int_equal (0, disk_resize (c, 3 * P + 5));
  assert_owned (c, 1);
  assert_int_equal (0, disk_resize (c, 0));
  assert_owned (c, 0);
}

static void
test_exclusive (void **state)
{
  struct fixture *f = *state;
  uint64_t bytes;

  assert_int_equal (0, put (f->disk[0], 0, 8));
  assert_int_equal (0, put (f->disk[0], 5000, 2));
  assert_int_equal (0, disk_exclusive (f->disk[0], &bytes));
  assert_int_equal (10 * P, bytes);
  f->disk[1] = disk_clone (f->disk[0]);
  assert_int_equal (0, put (f->disk[1], 0, 3));
  arena_reclaim (f->a);
  assert_int_equal (0, disk_exclusive (f->disk[1], &bytes));
  assert_int_equal (3 * P, bytes);
  assert_int_equal (0, disk_exclusive (f->disk[0], &bytes));
  assert_int_equal (3 * P, bytes);
}

/* Several threads fill one disk: it never owns more than it may, and a page
 * that fits is refused to none who is alone.
 */
#define WRITERS 4
#define EACH 400

static void *
writer (void *vp)
{
  struct disk *d = vp;
  static _Atomic uint64_t next;
  unsigned i;

  for (i = 0; i < EACH; i++) {
    uint64_t page = next++ % 8000;

    if (put (d, page, 1 + page % 3) == -1)
      assert (errno == EDQUOT);
    assert (disk_owned (d) <= 500 * P);
    if (i % 16 == 0)
      disk_trim (d, 8 * P, page * P);
  }
  return NULL;
}

static void
test_threads (void **state)
{
  struct disk *d = ((struct fixture *) *state)->disk[0];
  pthread_t thread[WRITERS];
  uint64_t page;
  unsigned i;

  disk_set_quota (d, 500 * P);
  for (i = 0; i < WRITERS; i++)
    pthread_create (&thread[i], NULL, writer, d);
  for (i = 0; i < WRITERS; i++)
    pthread_join (thread[i], NULL);
  for (page = 0; put (d, page, 1) == 0; page++)
    ;
  assert_int_equal (EDQUOT, errno);
  assert_owned (d, 500);
}

#define TEST(t) cmocka_unit_test_setup_teardown (t, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_counts_pages_not_nodes),
    TEST (test_owns_nothing_after_a_clone),
    TEST (test_owns_nothing_after_the_clone_goes),
    TEST (test_a_diff_takes_nothing),
    TEST (test_refuses_before_anything_is_changed),
    TEST (test_room_again_after_trim),
    TEST (test_quota_can_change),
    TEST (test_none_at_all),
    TEST (test_copy_of_a_shared_page_counts),
    TEST (test_zero_changes_nothing),
    TEST (test_resize_is_not_refused),
    TEST (test_exclusive),
    TEST (test_threads),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
