/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks: zero, trim, detection of zeros, and extents. */

#include "unit.h"

#include "ramdisk/disk.h"
#include "tests/unit/disk-fixture.h"

static void
test_three_states (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);

  put (d, 0, 10 * P, 'x');
  assert_int_equal (0, disk_zero (d, 2 * P, P, true));
  assert_int_equal (0, disk_zero (d, 2 * P, 4 * P, false));
  expect_extents (d, 0, MIB, "d1 h2 d1 z2 d4 h246 ");
  expect (d, P, 2 * P, 0);
  expect (d, 4 * P, 2 * P, 0);
  assert_int_equal (6 * P, disk_mapped (d));
  put (d, 4 * P + 100, 1, 'y');
  expect_extents (d, 0, MIB, "d1 h2 d2 z1 d4 h246 ");
  expect (d, 4 * P, 100, 0);
  expect (d, 4 * P + 101, P, 0);
}

static void
test_zero_no_hole_takes_no_memory (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, UINT64_C (1) << 60);

  assert_int_equal (0, disk_zero (d, UINT64_C (1) << 60, 0, false));
  assert_int_equal (1, used (f));       /* the root: a quarter of it is used */
  expect_extents (d, 0, UINT64_C (1) << 60, "z2.81475e+14 ");
  put (d, GIB, 1, 'x');
  expect (d, GIB, 1, 'x');
  expect_extents (d, 0, 2 * GIB, "z262144 d1 z262143 ");
}

/* Allocated zeros end with the disk: what a later growth adds is a hole. */
static void
test_zero_no_hole_then_grow (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 10 * P + 5);

  assert_int_equal (0, disk_zero (d, 10 * P + 5, 0, false));
  expect_extents (d, 0, 10 * P + 5, "z10.0012 ");
  assert_int_equal (0, disk_resize (d, GIB));
  expect_extents (d, 0, GIB, "z11 h262133 ");
}

/* Parts of pages: zeros are stored, holes stay or become allocated. */
static void
test_zero_parts (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);

  put (d, 0, 3 * P, 'x');
  assert_int_equal (0, disk_zero (d, 2 * P, P / 2, true));
  expect (d, 0, P / 2, 'x');
  expect (d, P / 2, 2 * P, 0);
  expect (d, 2 * P + P / 2, P / 2, 'x');
  expect_extents (d, 0, MIB, "d1 h1 d1 h253 ");
  assert_int_equal (0, disk_zero (d, 10, 4 * P + 10, true));
  assert_int_equal (0, disk_zero (d, 10, 6 * P + 10, false));
  assert_int_equal (0, disk_zero (d, P, 8 * P + 10, false));
  expect_extents (d, 0, MIB, "d1 h1 d1 h3 z1 h1 z2 h246 ");
}

static void
test_trim_only_whole_pages (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);

  put (d, 0, 4 * P, 'x');
  assert_int_equal (0, disk_trim (d, 3 * P - 2, 1));
  expect (d, 0, P, 'x');
  expect (d, P, P, 0);
  expect (d, 2 * P, 2 * P, 'x');
  expect_extents (d, 0, MIB, "d1 h1 d2 h252 ");
}

/* The last page counts as whole when the request reaches the end. */
static void
test_trim_cut_page (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 3 * P + 10);

  put (d, 0, 3 * P + 10, 'x');
  assert_int_equal (0, disk_trim (d, 9, 3 * P));
  expect (d, 3 * P, 10, 'x');
  assert_int_equal (0, disk_trim (d, 10, 3 * P));
  expect (d, 3 * P, 10, 0);
  expect (d, 0, 3 * P, 'x');
  assert_int_equal (0, disk_trim (d, 3 * P + 10, 0));
  assert_int_equal (0, disk_mapped (d));
  assert_int_equal (0, used (f));
}

static void
test_trim_subtrees (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 64 * GIB);
  uint64_t i;

  for (i = 0; i < 64; i++)
    put (d, i * GIB + i * P, P, 'a');
  put (d, 7 * LEAF - P, 2 * P, 'b');
  assert_int_equal (66 * P, disk_mapped (d));
  assert_int_equal (0, disk_trim (d, 62 * GIB, 7 * LEAF));
  /* Left: 0, the page before 7 leaves, 63 GiB. */
  assert_int_equal (3 * P, disk_mapped (d));
  expect (d, 0, P, 'a');
  expect (d, 7 * LEAF - P, P, 'b');
  expect (d, 7 * LEAF, P, 0);
  expect (d, 62 * GIB + 62 * P, P, 0);
  expect (d, 63 * GIB + 63 * P, P, 'a');
  assert_int_equal (0, disk_trim (d, 64 * GIB, 0));
  assert_int_equal (0, used (f));
}

static void
test_detect_zeroes (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);
  char *buf = calloc (1, 10 * P);

  buf[0] = 'x';
  buf[5 * P] = 'x';
  assert_int_equal (0, disk_write_detect (d, buf, 10 * P, 0));
  expect_extents (d, 0, MIB, "d1 h4 d1 h250 ");
  put (d, 0, 10 * P, 'y');
  assert_int_equal (0, disk_write_detect (d, buf + 1, 5 * P, P / 2));
  expect (d, P / 2, 5 * P - 1, 0);
  expect (d, 0, P / 2, 'y');
  expect_extents (d, 0, 10 * P, "d1 h4 d5 ");
  free (buf);
}

static int
stop_at_once (void *opaque, uint64_t offset, uint64_t length,
              enum extent_type type)
{
  (void) offset;
  (void) type;
  *(uint64_t *) opaque = length;
  return 42;
}

/* Extents are whole sectors where these are larger than pages: data if any page
 * is, else allocated if any is, and a hole only if all are.
 */
static void
test_extents_sectors (void **state)
{
  struct fixture *f = *state;
  struct disk *s = f->disk[0] = disk_new (f->a, 64 * P, 16 * P);
  char *buf = calloc (16, P);

  assert_non_null (s);
  expect_extents (s, 0, 64 * P, "h64 ");
  buf[5 * P] = 'x';
  assert_int_equal (0, disk_write_detect (s, buf, 16 * P, 16 * P));
  expect_extents (s, 0, 64 * P, "h16 d16 h32 ");
  expect_extents (s, 16 * P, 16 * P, "d16 ");
  buf[5 * P] = 0;
  buf[15 * P] = 'x';
  assert_int_equal (0, disk_write_detect (s, buf, 16 * P, 32 * P));
  expect_extents (s, 0, 48 * P, "h16 d32 ");
  assert_int_equal (0, disk_zero (s, 16 * P, 0, false));
  expect_extents (s, 0, 64 * P, "z16 d32 h16 ");
  free (buf);
}

struct sectors {
  const bool *data;             /* of each page */
  uint64_t sector;              /* pages */
  uint64_t at, last;            /* pages; where the last extent began */
  enum extent_type type;
};

static int
check_sectors (void *opaque, uint64_t offset, uint64_t length,
               enum extent_type type)
{
  struct sectors *c = opaque;
  uint64_t i, j;

  assert_int_equal (c->at * P, offset);
  assert_int_equal (0, length % (c->sector * P));
  assert_true (length > 0 && (offset == 0 || type != c->type));
  for (i = c->at; i < c->at + length / P; i += c->sector) {
    bool any = false;

    for (j = 0; j < c->sector; j++)
      any |= c->data[i + j];
    assert_int_equal (any ? EXTENT_DATA : EXTENT_HOLE, type);
  }
  c->at += length / P;
  c->type = type;
  return 0;
}

/* The same with data at random, over several leaves and more changes of type
 * than are reported at a time, for each size of sector.
 */
static void
test_extents_sectors_random (void **state)
{
  enum { PAGES = 3 * LEAF / P };
  struct fixture *f = *state;
  bool *data = calloc (PAGES, sizeof *data);
  char *buf = malloc (PAGES * P);
  uint64_t sector, i;

  srandom (1);
  for (sector = 1; sector <= DISK_MAX_SECTOR / P; sector *= 2) {
    struct disk *d = f->disk[0] = disk_new (f->a, PAGES * P, sector * P);
    struct sectors c = { data, sector, 0, 0, 0 };

    assert_non_null (d);
    memset (buf, 0, PAGES * P);
    for (i = 0; i < PAGES; i++) {
      /* Some stretches are dense, some have a page here and there. */
      data[i] = random () % (i / 100 % 3 == 0 ? 2 : 40) == 0;
      if (data[i])
        buf[i * P + random () % P] = 'x';
    }
    assert_int_equal (0, disk_write_detect (d, buf, PAGES * P, 0));
    assert_int_equal (0, disk_extents (d, PAGES * P, 0, check_sectors, &c));
    assert_int_equal (PAGES, c.at);
    disk_free (d);
    f->disk[0] = NULL;
  }
  free (buf);
  free (data);
}

/* A sector with shared and other data is not shared as a whole. */
static void
test_extents_sectors_shared (void **state)
{
  struct fixture *f = *state;
  struct disk *d = f->disk[0] = disk_new (f->a, 48 * P, 16 * P), *c;
  char *buf = calloc (16, P), text[1024] = "";

  memset (buf, 'x', 2 * P);
  assert_int_equal (0, disk_write_detect (d, buf, 16 * P, 0));
  assert_int_equal (0, disk_write_detect (d, buf, 16 * P, 16 * P));
  c = clone_to (f, 1, d);
  /* One page of the second sector is written in the clone; of the first one
   * both disks still have the same pages.
   */
  assert_int_equal (0, disk_write (c, buf, 16 * P, 16 * P));
  assert_int_equal (0, disk_extents_sharing (c, 48 * P, 0, add_text, text));
  assert_string_equal ("s16 d16 h16 ", text);
  free (buf);
}

static void
test_extents_stop (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);
  uint64_t length;

  put (d, P, P, 'x');
  assert_int_equal (42, disk_extents (d, MIB, 0, stop_at_once, &length));
  assert_int_equal (P, length);
}

static int
check_alternates (void *opaque, uint64_t offset, uint64_t length,
                  enum extent_type type)
{
  uint64_t *next = opaque;

  assert_int_equal (*next, offset);
  assert_int_equal (P, length);
  assert_int_equal (offset / P % 2 ? EXTENT_HOLE : EXTENT_DATA, type);
  *next += length;
  return 0;
}

/* More extents than one step can hold. */
static void
test_many_extents (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 16 * MIB);
  uint64_t i, next = 0;

  for (i = 0; i < 16 * MIB; i += 2 * P)
    put (d, i, 1, 'x');
  assert_int_equal (0, disk_extents (d, 16 * MIB, 0, check_alternates, &next));
  assert_int_equal (16 * MIB, next);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_three_states),
    TEST (test_zero_no_hole_takes_no_memory),
    TEST (test_zero_no_hole_then_grow),
    TEST (test_zero_parts),
    TEST (test_trim_only_whole_pages),
    TEST (test_trim_cut_page),
    TEST (test_trim_subtrees),
    TEST (test_detect_zeroes),
    TEST (test_extents_stop),
    TEST (test_extents_sectors),
    TEST (test_extents_sectors_random),
    TEST (test_extents_sectors_shared),
    TEST (test_many_extents),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
