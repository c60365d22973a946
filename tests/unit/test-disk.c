/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks: what disk.h promises, one behaviour a test, in one thread. */

#include "unit.h"

#include "disk.h"
#include "engine-check.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define P ((uint64_t) PAGE_BYTES)
#define LEAF (4 * MIB)          /* what one leaf covers */

#define MOST_DISKS 8

struct fixture {
  struct arena *a;
  struct disk *disk[MOST_DISKS];
};

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  f->a = arena_create (64 * MIB);
  *state = f;
  return f->a == NULL || rcu_prepare () == -1;
}

static int
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

/* The fixture frees what is in its slots. */
static struct disk *
new_disk (struct fixture *f, unsigned slot, uint64_t size)
{
  f->disk[slot] = disk_new (f->a, size, 1);
  assert_non_null (f->disk[slot]);
  return f->disk[slot];
}

static struct disk *
clone_to (struct fixture *f, unsigned slot, struct disk *d)
{
  f->disk[slot] = disk_clone (d);
  assert_non_null (f->disk[slot]);
  return f->disk[slot];
}

static void
put (struct disk *d, uint64_t offset, uint64_t count, int c)
{
  char *buf = malloc (count);

  memset (buf, c, count);
  assert_int_equal (0, disk_write (d, buf, count, offset));
  free (buf);
}

/* All bytes of the range are c. */
static void
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

static uint64_t
used (struct fixture *f)
{
  struct arena_stats s;

  arena_reclaim (f->a);
  arena_stats (f->a, &s);
  return s.used / P;
}

/* Extents as text: "d" data, "z" zero, "h" hole, each with its pages. */
static int
add_text (void *opaque, uint64_t offset, uint64_t length,
          enum extent_type type)
{
  char *text = opaque;

  (void) offset;
  sprintf (text + strlen (text), "%c%g ", "dzh"[type], (double) length / P);
  return 0;
}

static void
expect_extents (struct disk *d, uint64_t offset, uint64_t count,
                const char *want)
{
  char text[1024] = "";

  assert_int_equal (0, disk_extents (d, count, offset, add_text, text));
  assert_string_equal (want, text);
}

/* ---------------------------------------------------------------------- */

static void
test_new_reads_zero (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 16 * MIB);

  expect (d, 0, 16 * MIB, 0);
  expect_extents (d, 0, 16 * MIB, "h4096 ");
  assert_int_equal (0, used (f));
}

static void
test_new_bad (void **state)
{
  struct fixture *f = *state;

  assert_null (disk_new (f->a, DISK_MAX_SIZE + 1, 1));
  assert_int_equal (EINVAL, errno);
  assert_null (disk_new (f->a, 513, 512));
  assert_null (disk_new (f->a, 512, 511));
  assert_null (disk_new (f->a, 131072, 131072));
  assert_null (disk_new (f->a, 1024, 256));
}

/* Bytes on both sides of each boundary that the tree has. */
static void
test_boundaries (void **state)
{
  static const uint64_t at[] = {
    P, 64 * P, LEAF, 1024 * LEAF, 1024 * 1024 * LEAF,
  };
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, UINT64_C (1) << 60);
  size_t i;

  for (i = 0; i < sizeof at / sizeof at[0]; i++) {
    put (d, at[i] - 3, 7, 'a' + i);
    expect (d, at[i] - 4, 1, 0);
    expect (d, at[i] - 3, 7, 'a' + i);
    expect (d, at[i] + 4, 1, 0);
  }
}

static void
test_largest_disk (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, DISK_MAX_SIZE);

  put (d, DISK_MAX_SIZE - 1, 1, 'x');
  put (d, 0, 1, 'y');
  expect (d, DISK_MAX_SIZE - 1, 1, 'x');
  expect (d, DISK_MAX_SIZE - 2, 1, 0);
  assert_int_equal (2 * P, disk_mapped (d));
  expect_extents (d, DISK_MAX_SIZE - 2 * P, 2 * P,
                  "h1.00024 d0.999756 ");
  assert_int_equal (0, disk_trim (d, DISK_MAX_SIZE, 0));
  assert_int_equal (0, used (f));
}

/* The largest request takes many sections. */
static void
test_large_request (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t n = 20 * MIB + 777, i;
  unsigned char *a = malloc (n), *b = malloc (n);

  for (i = 0; i < n; i++)
    a[i] = i * 2654435761u >> 13;
  assert_int_equal (0, disk_write (d, a, n, LEAF - 333));
  assert_int_equal (0, disk_read (d, b, n, LEAF - 333));
  assert_memory_equal (a, b, n);
  memset (a, 0x55, n);
  assert_int_equal (0, disk_write (d, a, n, LEAF - 333));
  assert_int_equal (0, disk_read (d, b, n, LEAF - 333));
  assert_memory_equal (a, b, n);
  expect (d, LEAF - 334, 1, 0);
  free (a);
  free (b);
}

static void
test_past_the_end (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 10000);
  char buf[2] = "xx";

  assert_errno (EINVAL, disk_read (d, buf, 2, 9999));
  assert_errno (EINVAL, disk_read (d, buf, 1, UINT64_MAX));
  assert_errno (EINVAL, disk_read (d, buf, UINT64_MAX, 1));
  assert_errno (ENOSPC, disk_write (d, buf, 2, 9999));
  assert_errno (ENOSPC, disk_write (d, buf, 1, UINT64_MAX - 3));
  assert_errno (ENOSPC, disk_zero (d, 2, 9999, true));
  assert_errno (ENOSPC, disk_trim (d, 10001, 0));
  assert_errno (EINVAL, disk_extents (d, 2, 9999, add_text, buf));
  assert_int_equal (0, disk_write (d, buf, 0, 10000));
  assert_int_equal (0, disk_write (d, buf, 1, 9999));
  assert_int_equal (P, disk_mapped (d));
}

static void
test_readonly (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, MIB);

  disk_set_readonly (d, true);
  assert_errno (EROFS, disk_write (d, "x", 1, 0));
  assert_errno (EROFS, disk_zero (d, 1, 0, true));
  assert_errno (EROFS, disk_trim (d, 1, 0));
  expect (d, 0, 1, 0);
}

static void
test_sector_size (void **state)
{
  struct fixture *f = *state;
  struct disk *d = f->disk[0] = disk_new (f->a, MIB, 512);
  char buf[1024] = "x";

  assert_int_equal (0, disk_write (d, buf, 1024, 512));
  assert_int_equal (0, disk_read (d, buf, 512, 512));
  assert_errno (EINVAL, disk_write (d, buf, 511, 512));
  assert_errno (EINVAL, disk_write (d, buf, 512, 1));
  assert_errno (EINVAL, disk_read (d, buf, 513, 0));
  assert_errno (EINVAL, disk_trim (d, 100, 0));
  assert_errno (EINVAL, disk_zero (d, 100, 0, false));
  assert_errno (EINVAL, disk_resize (d, 1000));
}

static void
test_memory_is_what_is_mapped (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);

  put (d, 5 * P, 1, 'x');
  assert_int_equal (3, used (f));       /* root, leaf, page */
  put (d, 5 * P + 1, P - 1, 'x');
  assert_int_equal (3, used (f));
  put (d, 6 * P - 1, 2, 'x');
  assert_int_equal (4, used (f));
}

/* ---------------------------------------------------------------------- */

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

/* A part of a page: zeros are stored, holes stay, or become allocated. */
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

/* ---------------------------------------------------------------------- */

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
  /* Alone again: overwriting copies nothing. */
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

  assert_int_equal (0, disk_diff (a, b, 0, add_diff, text));
  assert_string_equal (want, text);
  text[0] = '\0';
  assert_int_equal (0, disk_diff (b, a, 0, add_diff, text));
  assert_string_equal (want, text);
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

/* ---------------------------------------------------------------------- */

/* Fill a disk page by page until there is no room.  Returns how many pages. */
static uint64_t
fill_up (struct disk *d, int c)
{
  char buf[PAGE_BYTES];
  uint64_t n;

  memset (buf, c, sizeof buf);
  for (n = 0; disk_write (d, buf, P, n * P) == 0; n++)
    ;
  assert_int_equal (ENOSPC, errno);
  return n;
}

static void
test_no_memory (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t n = fill_up (d, 'x');

  /* 64 MiB less one root and a leaf for each 1024 pages. */
  assert_int_equal (64 * MIB / P - 1 - 16, n);
  expect (d, 0, n * P, 'x');
  put (d, 0, n * P, 'y');       /* no page needed */
  assert_errno (ENOSPC, disk_write (d, "x", 1, n * P));
  assert_int_equal (0, disk_zero (d, GIB - n * P, n * P, true));
  assert_int_equal (0, disk_trim (d, 3 * P, 7 * P));
  put (d, n * P, 3 * P, 'z');
  assert_errno (ENOSPC, disk_write (d, "x", 1, 7 * P));
  expect (d, 0, 7 * P, 'y');
  expect (d, 7 * P, 3 * P, 0);
  expect (d, 10 * P, (n - 10) * P, 'y');
  expect (d, n * P, 3 * P, 'z');
}

/* D4: a request that fails has changed nothing. */
static void
test_no_memory_changes_nothing (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t n = fill_up (d, 'x');
  char *buf = malloc (LEAF);

  memset (buf, 'y', LEAF);
  assert_int_equal (0, disk_trim (d, P, (n - 1) * P));
  assert_errno (ENOSPC, disk_write (d, buf, LEAF, (n - 100) * P + 1));
  expect (d, 0, (n - 1) * P, 'x');
  expect (d, (n - 1) * P, 2 * P, 0);
  free (buf);
}

/* A clone at the limit can still be trimmed, and that makes room. */
static void
test_trim_clone_without_memory (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;
  uint64_t n = fill_up (d, 'x');

  c = clone_to (f, 1, d);
  assert_errno (ENOSPC, disk_write (c, "y", 1, 0));
  assert_int_equal (0, disk_trim (c, 10 * P, 10 * P));
  expect (c, 10 * P, 10 * P, 0);
  expect (d, 0, n * P, 'x');
  assert_int_equal (0, disk_trim (d, 100 * P, 0));
  put (c, 0, P, 'y');
  expect (c, 0, P, 'y');
}

static void
test_shrink_without_memory (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t n = fill_up (d, 'x');

  clone_to (f, 1, d);
  assert_int_equal (0, disk_resize (d, 1000 * P + 1));
  expect (d, 0, 1000 * P + 1, 'x');
  expect (f->disk[1], 0, n * P, 'x');
}

/* D4 for a write that detects zeroes: page 0 costs one more than there is. */
static void
test_no_memory_detect (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB);
  uint64_t n = fill_up (d, 'x');
  char *buf = calloc (1, 4 * P);

  assert_int_equal (0, disk_trim (d, P, (n - 1) * P));
  buf[0] = buf[2 * P] = buf[3 * P] = 'y';
  assert_errno (ENOSPC, disk_write_detect (d, buf, 4 * P, (n - 3) * P));
  expect (d, (n - 3) * P, 2 * P, 'x');
  expect (d, (n - 1) * P, 2 * P, 0);
  free (buf);
}

/* Trims that come and go far apart leave no nodes behind. */
static void
test_trim_frees_nodes (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, DISK_MAX_SIZE);
  uint64_t i;

  put (d, 5 * LEAF, P, 'x');
  for (i = 1; i < 3000; i++) {
    uint64_t offset = i << 42;

    put (d, offset, P, 'x');
    assert_int_equal (0, disk_trim (d, P, offset));
  }
  expect (d, 5 * LEAF, P, 'x');
  assert_int_equal (6 + 1, used (f));
  put (d, LEAF, LEAF, 'y');
  for (i = 0; i < LEAF; i += P)
    assert_int_equal (0, disk_zero (d, P, LEAF + i, true));
  assert_int_equal (6 + 1, used (f));
}

/* The copies that a zeroing makes are linked before the old nodes are given
 * up, though the list of them fills up on the way (radix.h, T6).
 */
static void
test_zero_many_then_copy (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 4 * GIB + 100), *c;
  unsigned n;

  for (n = 240; n <= 256; n++) {
    put (d, 4 * GIB - MIB, MIB + 100, 'g');
    c = clone_to (f, 1, d);
    put (d, 4 * GIB - MIB, n * P, 'd');
    assert_int_equal (0, disk_zero (d, MIB + 100, 4 * GIB - MIB, false));
    expect (d, 4 * GIB - MIB, MIB + 100, 0);
    arena_reclaim (f->a);
    put (c, 4 * GIB - 2 * MIB, MIB, 'c');
    expect (d, 4 * GIB - 2 * MIB, MIB, 0);
    expect (c, 4 * GIB - MIB, MIB + 100, 'g');
    engine_check (f->a, f->disk, MOST_DISKS);
    disk_free (c);
    f->disk[1] = NULL;
  }
}

/* ---------------------------------------------------------------------- */

/* Many small random operations on a family of disks, each against a plain
 * copy in memory.
 */
#define SHADOW_SIZE (3 * LEAF + 5000)

static uint64_t
rnd (uint64_t *seed)
{
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void
shadow_op (struct fixture *f, char **shadow, uint64_t *size, uint64_t *seed)
{
  unsigned i = rnd (seed) % 4, op = rnd (seed) % 100, j;
  struct disk *d = f->disk[i];
  uint64_t offset = size[i] ? rnd (seed) % size[i] : 0, count;
  uint64_t most = rnd (seed) % 10 == 0 ? SHADOW_SIZE : 20000;
  char *buf;

  if (rnd (seed) % 2)
    offset &= -P;
  count = size[i] - offset < most ? size[i] - offset : most;
  count = count ? rnd (seed) % count + 1 : 0;
  if (rnd (seed) % 2)
    count &= -P;

  if (op < 45) {
    buf = malloc (count + 1);
    memset (buf, rnd (seed), count);
    assert_int_equal (0, disk_write (d, buf, count, offset));
    memcpy (shadow[i] + offset, buf, count);
    free (buf);
  }
  else if (op < 60) {
    buf = malloc (count + 1);
    assert_int_equal (0, disk_read (d, buf, count, offset));
    assert_memory_equal (shadow[i] + offset, buf, count);
    free (buf);
  }
  else if (op < 75) {
    assert_int_equal (0, disk_zero (d, count, offset, op & 1));
    memset (shadow[i] + offset, 0, count);
  }
  else if (op < 85) {
    uint64_t first = (offset + P - 1) & -P, last = (offset + count) & -P;

    assert_int_equal (0, disk_trim (d, count, offset));
    if (offset + count == size[i])
      last = offset + count;
    if (first < last)
      memset (shadow[i] + first, 0, last - first);
  }
  else if (op < 92) {
    uint64_t new = rnd (seed) % SHADOW_SIZE;

    assert_int_equal (0, disk_resize (d, new));
    if (new < size[i])
      memset (shadow[i] + new, 0, SHADOW_SIZE - new);
    size[i] = new;
  }
  else {
    j = rnd (seed) % 4;
    if (i != j) {
      disk_free (f->disk[j]);
      f->disk[j] = disk_clone (d);
      memcpy (shadow[j], shadow[i], SHADOW_SIZE);
      size[j] = size[i];
    }
  }
}

static void
test_shadow (void **state)
{
  struct fixture *f = *state;
  char *shadow[4];
  uint64_t size[4], seed = 88172645463325252;
  unsigned i, n;

  for (i = 0; i < 4; i++) {
    shadow[i] = calloc (1, SHADOW_SIZE);
    size[i] = SHADOW_SIZE / (i + 1);
    new_disk (f, i, size[i]);
  }
  for (n = 1; n <= 3000; n++) {
    shadow_op (f, shadow, size, &seed);
    if (n % 300 == 0) {
      engine_check (f->a, f->disk, MOST_DISKS);
      for (i = 0; i < 4; i++) {
        char *buf = malloc (size[i] + 1);

        assert_int_equal (size[i], disk_size (f->disk[i]));
        assert_int_equal (0, disk_read (f->disk[i], buf, size[i], 0));
        assert_memory_equal (shadow[i], buf, size[i]);
        free (buf);
      }
    }
  }
  for (i = 0; i < 4; i++)
    free (shadow[i]);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_new_reads_zero),
    TEST (test_new_bad),
    TEST (test_boundaries),
    TEST (test_largest_disk),
    TEST (test_large_request),
    TEST (test_past_the_end),
    TEST (test_readonly),
    TEST (test_sector_size),
    TEST (test_memory_is_what_is_mapped),
    TEST (test_three_states),
    TEST (test_zero_no_hole_takes_no_memory),
    TEST (test_zero_no_hole_then_grow),
    TEST (test_zero_parts),
    TEST (test_trim_only_whole_pages),
    TEST (test_trim_cut_page),
    TEST (test_trim_subtrees),
    TEST (test_detect_zeroes),
    TEST (test_extents_stop),
    TEST (test_many_extents),
    TEST (test_shrink_and_grow),
    TEST (test_resize_to_nothing),
    TEST (test_shrink_shared),
    TEST (test_clone_is_independent),
    TEST (test_clone_costs_no_page),
    TEST (test_clone_of_empty),
    TEST (test_clone_outlives_source),
    TEST (test_trim_clone),
    TEST (test_diff),
    TEST (test_diff_sizes),
    TEST (test_diff_unrelated),
    TEST (test_no_memory),
    TEST (test_no_memory_changes_nothing),
    TEST (test_trim_clone_without_memory),
    TEST (test_shrink_without_memory),
    TEST (test_no_memory_detect),
    TEST (test_trim_frees_nodes),
    TEST (test_zero_many_then_copy),
    TEST (test_shadow),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
