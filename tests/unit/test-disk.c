/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks: the promises of disk.h, one behaviour a test, in one thread: requests,
 * memory, and random operations.  test-disk-extents.c has holes and zeros,
 * test-disk-clone.c resize, clone and diff.
 */

#include "unit.h"

#include "ramdisk/disk.h"
#include "tests/random.h"
#include "tests/unit/disk-fixture.h"
#include "tests/unit/disk-shadow.h"
#include "tests/unit/engine-check.h"

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

/* The largest request spans many sections. */
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
  char buf[] = "xx";

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

/* A trim for which there is no memory, not even of the overdraft, is left out
 * as a whole (D1).
 */
static void
test_trim_without_credit (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;
  uint64_t n = fill_up (d, 'x'), left = 0;

  c = clone_to (f, 1, d);
  while (arena_reserve (f->a, 1, true) == 0)
    left++;
  assert_true (left > 0);
  assert_int_equal (0, disk_trim (c, 10 * P, 10 * P));
  expect (c, 0, n * P, 'x');
  arena_unreserve (f->a, left);
  assert_int_equal (0, disk_trim (c, 10 * P, 10 * P));
  expect (c, 10 * P, 10 * P, 0);
}

/* The same if both ends of the range are holes already: what is between them is
 * below a node that the other disk has, too.
 */
static void
test_trim_holes_without_credit (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;
  uint64_t left = 0;

  put (d, LEAF, LEAF, 'x');
  c = clone_to (f, 1, d);
  while (arena_reserve (f->a, 1, true) == 0)
    left++;
  assert_int_equal (0, disk_trim (c, 3 * LEAF, 0));
  expect (c, LEAF, LEAF, 'x');
  assert_errno (ENOSPC, disk_zero (c, 3 * LEAF, 0, true));
  expect (c, LEAF, LEAF, 'x');
  assert_int_equal (0, disk_zero (c, LEAF, 10 * LEAF, true));   /* a hole */
  arena_unreserve (f->a, left);
  assert_int_equal (0, disk_trim (c, 3 * LEAF, 0));
  expect (c, 0, 3 * LEAF, 0);
  expect (d, LEAF, LEAF, 'x');
}

/* A growth takes a node for each level: all of them, or none. */
static void
test_grow_without_credit (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, LEAF);
  uint64_t left = 0;

  put (d, 0, LEAF, 'x');
  while (arena_reserve (f->a, 1, true) == 0)
    left++;
  arena_unreserve (f->a, 1);
  assert_errno (ENOSPC, disk_resize (d, DISK_MAX_SIZE));
  assert_true (tree_ends_at (d->tree.arena, root_load (&d->tree), LEAF / P));
  assert_int_equal (LEAF, disk_size (d));
  assert_int_equal (0, disk_resize (d, LEAF));
  assert_int_equal (0, disk_resize (d, 2 * LEAF));
  arena_unreserve (f->a, left - 1);
  assert_int_equal (0, disk_resize (d, DISK_MAX_SIZE));
  expect (d, 0, LEAF, 'x');
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

/* D4 for a write that detects zeros: page 0 needs one page more than there is.
 */
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

/* D4, where both ends of the zeros need nothing, and what is between them has
 * nodes that another disk has, too.
 */
static void
test_no_memory_detect_between (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 8 * GIB), *c;
  char *buf = calloc (1, 3 * LEAF);

  put (d, 4 * GIB - LEAF, P, 'x');
  put (d, 4 * GIB, P, 'x');
  c = clone_to (f, 1, d);
  put (c, 4 * GIB - LEAF, P, 'y');
  fill_up (new_disk (f, 2, GIB), 'z');
  assert_errno (ENOSPC, disk_write_detect (c, buf, 3 * LEAF, 4 * GIB - LEAF));
  expect (c, 4 * GIB - LEAF, P, 'y');
  expect (c, 4 * GIB, P, 'x');
  free (buf);
}

/* D4, where a leaf between the ends has nothing but holes, and the node above
 * it is shared: it would have to be copied.
 */
static void
test_no_memory_detect_empty_leaf (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, 8 * GIB), *c, *e;
  char *buf = calloc (1, 4 * LEAF);

  put (d, 4 * GIB - LEAF, P, 'x');
  put (d, 4 * GIB + LEAF, P, 'x');
  c = clone_to (f, 1, d);
  assert_int_equal (0, disk_trim (c, P, 4 * GIB + LEAF));
  e = clone_to (f, 3, c);
  put (e, 4 * GIB - LEAF, P, 'y');
  fill_up (new_disk (f, 2, GIB), 'z');
  memset (buf, 'z', P);
  assert_errno (ENOSPC, disk_write_detect (e, buf, 4 * LEAF, 4 * GIB - LEAF));
  expect (e, 4 * GIB - LEAF, P, 'y');
  expect (e, 4 * GIB + LEAF, P, 0);
  free (buf);
}

/* A clone that goes takes the sharing with it, though not in an instant: writes
 * to what exists need no memory after that.
 */
static void
test_no_memory_after_clone (void **state)
{
  struct fixture *f = *state;
  struct disk *d = new_disk (f, 0, GIB), *c;
  uint64_t n = fill_up (d, 'x');

  c = disk_clone (d);
  assert_non_null (c);
  disk_free (c);
  put (d, 0, 10, 'y');
  c = disk_clone (d);
  disk_free (c);
  put (d, P, 3 * P, 'y');
  expect (d, P, 3 * P, 'y');
  expect (d, 4 * P, (n - 4) * P, 'x');
}

/* Trims far apart leave no nodes behind. */
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

static enum shadow_kind
random_kind (uint64_t *seed)
{
  static const struct { unsigned percent; enum shadow_kind kind; } kinds[] = {
    { 40, SHADOW_WRITE }, { 5, SHADOW_DETECT }, { 15, SHADOW_READ },
    { 8, SHADOW_ZERO }, { 7, SHADOW_ALLOCATE }, { 10, SHADOW_TRIM },
    { 5, SHADOW_RESIZE }, { 4, SHADOW_CLONE }, { 1, SHADOW_RESET },
    { 1, SHADOW_NEW }, { 1, SHADOW_EXTENTS }, { 1, SHADOW_SHARING },
    { 2, SHADOW_DIFF },
  };
  unsigned n = xorshift (seed) % 100, i = 0;

  while (n >= kinds[i].percent)
    n -= kinds[i++].percent;
  return kinds[i].kind;
}

static struct shadow_op
random_op (const struct shadow *s, uint64_t *seed)
{
  struct shadow_op op = {
    .kind = random_kind (seed), .a = xorshift (seed) % SHADOW_DISKS,
    .b = xorshift (seed) % SHADOW_DISKS, .value = xorshift (seed),
    .size = xorshift (seed) % SHADOW_SIZE,
  };
  uint64_t size = s->size[op.a];
  uint64_t most = xorshift (seed) % 10 == 0 ? SHADOW_SIZE : 20000;

  op.offset = size ? xorshift (seed) % size : 0;
  if (xorshift (seed) % 2)
    op.offset &= -P;
  op.count = size - op.offset < most ? size - op.offset : most;
  op.count = op.count ? xorshift (seed) % op.count + 1 : 0;
  if (xorshift (seed) % 2)
    op.count &= -P;
  return op;
}

static void
test_shadow (void **state)
{
  static const uint64_t sizes[SHADOW_DISKS] = {
    SHADOW_SIZE, SHADOW_SIZE / 2, SHADOW_SIZE / 3, SHADOW_SIZE / 4
  };
  struct fixture *f = *state;
  uint64_t seed = 88172645463325252;
  struct shadow s;
  unsigned n;

  shadow_init (&s, SHADOW_SIZE);
  shadow_start (&s, f->a, f->disk, sizes);
  for (n = 1; n <= 3000; n++) {
    struct shadow_op op = random_op (&s, &seed);

    shadow_do (&s, &op);
    if (n % 300 == 0) {
      engine_check (f->a, f->disk, MOST_DISKS);
      shadow_check (&s);
    }
  }
  shadow_free (&s);
}

int
main (void)
{
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
    TEST (test_trim_without_credit),
    TEST (test_no_memory),
    TEST (test_no_memory_changes_nothing),
    TEST (test_trim_clone_without_memory),
    TEST (test_trim_holes_without_credit),
    TEST (test_grow_without_credit),
    TEST (test_shrink_without_memory),
    TEST (test_no_memory_detect),
    TEST (test_no_memory_detect_between),
    TEST (test_no_memory_detect_empty_leaf),
    TEST (test_no_memory_after_clone),
    TEST (test_trim_frees_nodes),
    TEST (test_zero_many_then_copy),
    TEST (test_shadow),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
