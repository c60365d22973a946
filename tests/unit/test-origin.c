/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks over an origin. */

#include "unit.h"

#include <pthread.h>

#include "ramdisk/disk-origin-parts.h"
#include "ramdisk/disk-origin.h"
#include "tests/unit/engine-check.h"
#include "tests/unit/origin-bdev.h"

#define P ((uint64_t) PAGE_BYTES)
#define PAGES ((uint64_t) 2999)         /* three leaves */
#define SIZE (PAGES * P - 100)          /* the last page is not whole */

struct fixture {
  struct arena *a;
  struct origins *set;
  struct origin_bdev *b;
  struct origin *o;
  struct disk *disk[4];
  char *buf, *want;
};

static int
begin_with (struct fixture *f, uint64_t memory, uint64_t limit, bool prefetch)
{
  struct origin_options options = { .prefetch = prefetch };

  f->a = arena_create (memory);
  f->set = origins_new (f->a, limit);
  f->b = origin_bdev (SIZE);
  options.source = origin_bdev_source (f->b);
  f->o = origin_new (f->set, &options);
  if (f->o == NULL)
    return 1;
  f->disk[0] = disk_new_over (f->a, SIZE, 1, f->o);
  f->buf = malloc (PAGES * P);
  f->want = calloc (PAGES, P);
  return f->disk[0] == NULL;
}

static int
setup (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  *state = f;
  return begin_with (f, 64 << 20, 0, false);
}

static int
teardown (void **state)
{
  struct fixture *f = *state;
  struct disk *all[5];
  unsigned i;

  origin_check (f->o);
  memcpy (all, f->disk, sizeof f->disk);
  all[4] = origin_cache (f->o);
  engine_check (f->a, all, 5);
  for (i = 0; i < 4; i++)
    disk_free (f->disk[i]);
  origin_put (f->o);
  origins_stop (f->set);
  assert_int_equal (1, f->b->closed);
  engine_check (f->a, NULL, 0);
  origins_free (f->set);
  arena_destroy (f->a);
  origin_bdev_free (f->b);
  free (f->buf);
  free (f->want);
  free (f);
  return 0;
}

/* What the origin has, in f->want. */
static void
want_origin (struct fixture *f)
{
  uint64_t i;

  for (i = 0; i < PAGES; i++)
    origin_bdev_page (i, f->want + i * P);
  memset (f->want + SIZE, 0, PAGES * P - SIZE);
}

static void
assert_reads (struct fixture *f, struct disk *d, uint64_t offset,
              uint64_t count)
{
  memset (f->buf, 0x55, count);
  assert_int_equal (0, disk_read (d, f->buf, count, offset));
  assert_memory_equal (f->want + offset, f->buf, count);
}

static uint64_t
fetches (struct fixture *f)
{
  struct origin_stats s;

  origin_stats (f->o, &s);
  return s.fetches;
}

/* ---------------------------------------------------------------- reads */

static void
test_reads_everything_once (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;
  uint64_t i;

  want_origin (f);
  f->disk[1] = disk_clone (f->disk[0]);
  for (i = 0; i + 12345 < SIZE; i += 12345)
    assert_reads (f, f->disk[i % 2], i, 12345);
  assert_reads (f, f->disk[0], 0, SIZE);
  assert_reads (f, f->disk[1], 0, SIZE);
  for (i = 0; i < PAGES; i++)
    assert_int_equal (1, f->b->reads[i]);
  origin_stats (f->o, &s);
  assert_int_equal (SIZE, s.known);
  assert_int_equal (SIZE, s.fetched);
  assert_int_equal (ORIGIN_LAZY, s.state);
  /* Runs of up to 4 MiB: few requests. */
  assert_true (s.fetches < 30);
}

static void
test_fetches_little_for_little (void **state)
{
  struct fixture *f = *state;
  uint64_t i, n = 0;

  want_origin (f);
  assert_reads (f, f->disk[0], 1000 * P + 5, 10);
  for (i = 0; i < PAGES; i++)
    n += f->b->reads[i];
  assert_int_equal (ORIGIN_CLUSTER, n);
}

/* Blocks of the source that are larger than a page. */
static void
test_large_blocks (void **state)
{
  struct fixture *f = *state;
  struct origin_options options = { .prefetch = false };
  struct origin_bdev *b = origin_bdev (65536 * 40);
  struct origin *o;
  uint64_t i;

  b->bdev.info.block_min = 65536 * 2;
  options.source = origin_bdev_source (b);
  o = origin_new (f->set, &options);
  f->disk[1] = disk_new_over (f->a, 65536 * 40, 1, o);
  for (i = 0; i < 640; i++)
    origin_bdev_page (i, f->want + i * P);
  assert_reads (f, f->disk[1], 33 * P, P);
  assert_int_equal (1, b->reads[32]);
  assert_reads (f, f->disk[1], 0, 65536 * 40);
  for (i = 0; i < 640; i++)
    assert_int_equal (1, b->reads[i]);
  disk_free (f->disk[1]);
  f->disk[1] = NULL;
  origin_put (o);
  assert_int_equal (1, b->closed);
  origin_bdev_free (b);
}

/* Zeros are noted in whole blocks, as fetches are: what begins or ends within
 * one does not claim pages that a fetch of the block also claims (O1).
 */
static void
test_zeros_in_large_blocks (void **state)
{
  struct fixture *f = *state;
  struct origin_stats stats;

  f->o->block = 8;
  origin_mark_zeros (f->o, 3 * P, 6 * P);
  origin_stats (f->o, &stats);
  assert_int_equal (0, stats.known);
  origin_mark_zeros (f->o, 12 * P, 22 * P);
  origin_stats (f->o, &stats);
  assert_int_equal (8 * P, stats.known);
  /* The last block ends with the origin. */
  origin_mark_zeros (f->o, 10 * P - 100, (PAGES - 10) * P);
  origin_stats (f->o, &stats);
  assert_int_equal ((8 + PAGES % 8) * P, stats.known);
}

struct reader {
  pthread_t thread;
  struct disk *d;
  uint64_t offset, count;
  char *buf;
  int err;
};

static void *
read_it (void *opaque)
{
  struct reader *r = opaque;

  r->err = disk_read (r->d, r->buf, r->count, r->offset) == -1 ? errno : 0;
  return NULL;
}

static void
test_two_readers_one_fetch (void **state)
{
  struct fixture *f = *state;
  struct reader r[4];
  unsigned i;

  want_origin (f);
  f->disk[1] = disk_clone (f->disk[0]);
  origin_bdev_hold (f->b, true);
  for (i = 0; i < 4; i++) {
    r[i] = (struct reader) {
      .d = f->disk[i % 2], .offset = 64 * P + i * 1000, .count = 3 * P,
      .buf = malloc (3 * P)
    };
    pthread_create (&r[i].thread, NULL, read_it, &r[i]);
  }
  origin_bdev_await (f->b, 1);
  /* What needs nothing of the origin does not wait for it. */
  assert_int_equal (0, disk_write (f->disk[0], f->want + 200 * P, P, 64 * P));
  assert_int_equal (0, disk_trim (f->disk[1], 8 * P, 800 * P));
  origin_bdev_hold (f->b, false);
  for (i = 0; i < 4; i++) {
    pthread_join (r[i].thread, NULL);
    assert_int_equal (0, r[i].err);
    if (i % 2)
      assert_memory_equal (f->want + r[i].offset, r[i].buf, 3 * P);
    free (r[i].buf);
  }
  assert_int_equal (1, fetches (f));
}

static void
test_one_bad_place (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  f->b->bad = 600;
  assert_errno (EIO, disk_read (f->disk[0], f->buf, P, 600 * P));
  assert_reads (f, f->disk[0], 0, 600 * P);
  assert_reads (f, f->disk[0], 601 * P, SIZE - 601 * P);
  assert_errno (EIO, disk_read (f->disk[0], f->buf, 3 * P, 599 * P));
  /* A part of it cannot be written, all of it can. */
  assert_errno (EIO, disk_write (f->disk[0], f->want, 10, 600 * P));
  assert_int_equal (0, disk_write (f->disk[0], f->want + 50 * P, P, 600 * P));
  memcpy (f->want + 600 * P, f->want + 50 * P, P);
  assert_reads (f, f->disk[0], 0, SIZE);
}

static void
test_away (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;

  want_origin (f);
  assert_reads (f, f->disk[0], 100 * P, 10 * P);
  f->b->away = true;
  assert_errno (EIO, disk_read (f->disk[0], f->buf, P, 1000 * P));
  assert_reads (f, f->disk[0], 100 * P, 10 * P);
  origin_stats (f->o, &s);
  assert_int_equal (ORIGIN_AWAY, s.state);
  assert_int_equal (0, disk_write (f->disk[0], f->want + 50 * P, P, 1000 * P));
  f->b->away = false;
  memcpy (f->want + 1000 * P, f->want + 50 * P, P);
  assert_reads (f, f->disk[0], 990 * P, 20 * P);
  origin_stats (f->o, &s);
  assert_int_equal (ORIGIN_LAZY, s.state);
}

/* -------------------------------------------------------------- changes */

static void
test_changes_fetch_nothing (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  memset (f->buf, 'w', 100 * P);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, 100 * P, 500 * P));
  memset (f->want + 500 * P, 'w', 100 * P);
  assert_int_equal (0, disk_trim (f->disk[0], 1000 * P, 1000 * P));
  memset (f->want + 1000 * P, 0, 1000 * P);
  assert_int_equal (0, disk_zero (f->disk[0], 50 * P, 2100 * P, true));
  assert_int_equal (0, disk_zero (f->disk[0], 50 * P, 2150 * P, false));
  memset (f->want + 2100 * P, 0, 100 * P);
  memset (f->buf, 0, 4 * P);
  assert_int_equal (0, disk_write_detect (f->disk[0], f->buf, 4 * P,
                                          2300 * P));
  memset (f->want + 2300 * P, 0, 4 * P);
  assert_int_equal (0, fetches (f));
  assert_reads (f, f->disk[0], 0, SIZE);
  /* All of it. */
  assert_int_equal (0, disk_trim (f->disk[0], SIZE, 0));
  memset (f->want, 0, SIZE);
  assert_reads (f, f->disk[0], 0, SIZE);
  assert_int_equal (0, disk_mapped (f->disk[0]));
}

static void
test_parts_of_pages (void **state)
{
  struct fixture *f = *state;
  uint64_t last = SIZE - 50;

  want_origin (f);
  memset (f->buf, 'x', 2 * P);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, P, 700 * P + 100));
  memset (f->want + 700 * P + 100, 'x', P);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, 50, last));
  memset (f->want + last, 'x', 50);
  assert_int_equal (0, disk_zero (f->disk[0], 3 * P, 900 * P - 10, false));
  memset (f->want + 900 * P - 10, 0, 3 * P);
  assert_int_equal (0, disk_write_detect (f->disk[0], f->buf, 10, 950 * P));
  memset (f->want + 950 * P, 'x', 10);
  assert_reads (f, f->disk[0], 0, SIZE);
  assert_int_equal (0, disk_trim (f->disk[0], 2 * P, 1100 * P - 10));
  memset (f->want + 1100 * P, 0, P);
  assert_reads (f, f->disk[0], 0, SIZE);
}

static void
test_quota (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  disk_set_quota (f->disk[0], P);
  assert_int_equal (0, disk_write (f->disk[0], "a", 1, 700 * P + 100));
  f->want[700 * P + 100] = 'a';
  assert_errno (EDQUOT, disk_write (f->disk[0], "a", 1, 800 * P + 100));
  assert_reads (f, f->disk[0], 0, SIZE);
  assert_int_equal (P, disk_owned (f->disk[0]));
}

/* A request that begins and ends within pages of which the origin has data. */
#define EDGES (704 * P + 100)
#define EDGES_COUNT (2 * P)

enum edges_request { EDGES_WRITE, EDGES_ZERO, EDGES_DETECT, EDGES_REQUESTS };

static int
request_edges (struct fixture *f, enum edges_request request)
{
  memset (f->buf, 'e', EDGES_COUNT);
  switch (request) {
  case EDGES_WRITE:
    return disk_write (f->disk[0], f->buf, EDGES_COUNT, EDGES);
  case EDGES_DETECT:
    memset (f->buf + P - 100, 0, P);
    return disk_write_detect (f->disk[0], f->buf, EDGES_COUNT, EDGES);
  default:
    return disk_zero (f->disk[0], EDGES_COUNT, EDGES, true);
  }
}

static void
want_edges (struct fixture *f, enum edges_request request)
{
  memset (f->want + EDGES, request == EDGES_ZERO ? 0 : 'e', EDGES_COUNT);
  if (request == EDGES_DETECT)
    memset (f->want + 705 * P, 0, P);
}

/* Nothing has changed, not even what the request would have owned at its ends
 * (D4).
 */
static void
assert_no_edges (struct fixture *f)
{
  assert_int_equal (0, disk_owned (f->disk[0]));
  assert_int_equal (0, disk_mapped (f->disk[0]));
  assert_reads (f, f->disk[0], 703 * P, 5 * P);
}

/* The request is refused until there is quota for all of it. */
static void
test_quota_for_edges (void **state)
{
  struct fixture *f = *state;
  uint64_t pages, owned;
  unsigned i;

  for (i = 0; i < EDGES_REQUESTS; i++) {
    owned = i == EDGES_WRITE ? 3 : 2;
    want_origin (f);
    for (pages = 0; pages < owned; pages++) {
      disk_set_quota (f->disk[0], pages * P);
      assert_errno (EDQUOT, request_edges (f, i));
      assert_no_edges (f);
    }
    disk_set_quota (f->disk[0], owned * P);
    assert_int_equal (0, request_edges (f, i));
    assert_int_equal (owned * P, disk_owned (f->disk[0]));
    want_edges (f, i);
    assert_reads (f, f->disk[0], 0, SIZE);
    disk_free (f->disk[0]);
    f->disk[0] = disk_new_over (f->a, SIZE, 1, f->o);
  }
}

/* An end that has only zeros needs none. */
static void
test_quota_for_zero_edge (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  disk_set_quota (f->disk[0], P);
  assert_int_equal (0, disk_zero (f->disk[0], 2 * P, 701 * P + 100, true));
  memset (f->want + 701 * P + 100, 0, 2 * P);
  assert_int_equal (P, disk_owned (f->disk[0]));
  assert_reads (f, f->disk[0], 0, SIZE);
}

/* The same of memory, page by page. */
static void
test_memory_for_edges (void **state)
{
  struct fixture *f = *state;
  uint64_t filled, freed, pages = 20000;
  unsigned i;

  f->disk[1] = disk_new (f->a, pages * P, 1);
  for (i = 0; i < EDGES_REQUESTS; i++) {
    want_origin (f);
    memset (f->buf, 'f', P);
    for (filled = 0; disk_write (f->disk[1], f->buf, P, filled * P) == 0; )
      filled++;
    assert_true (filled < pages);
    for (freed = 0; request_edges (f, i) == -1; freed++) {
      assert_int_equal (ENOSPC, errno);
      assert_true (freed < 32);
      assert_no_edges (f);
      assert_int_equal (0, disk_trim (f->disk[1], P, freed * P));
    }
    want_edges (f, i);
    assert_reads (f, f->disk[0], 0, SIZE);
    disk_free (f->disk[0]);
    f->disk[0] = disk_new_over (f->a, SIZE, 1, f->o);
    assert_int_equal (0, disk_trim (f->disk[1], pages * P, 0));
  }
}

/* If one of the two ends cannot be read, the other has not changed either. */
static void
test_bad_edge (void **state)
{
  struct fixture *f = *state;
  unsigned i;

  want_origin (f);
  f->b->bad = 706;
  for (i = 0; i < EDGES_REQUESTS; i++) {
    assert_errno (EIO, request_edges (f, i));
    assert_int_equal (0, disk_mapped (f->disk[0]));
  }
  f->b->bad = UINT64_MAX;
  assert_no_edges (f);
}

static void
test_clones (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  memset (f->buf, 'x', P);
  f->disk[1] = disk_clone (f->disk[0]);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, P, 900 * P));
  f->disk[2] = disk_clone (f->disk[0]);
  disk_free (f->disk[0]);
  f->disk[0] = NULL;
  assert_reads (f, f->disk[1], 0, SIZE);
  memset (f->want + 900 * P, 'x', P);
  assert_reads (f, f->disk[2], 0, SIZE);
}

static void
resize (struct fixture *f, uint64_t size)
{
  assert_int_equal (0, disk_resize (f->disk[0], size));
}

static void
test_sizes (void **state)
{
  struct fixture *f = *state;
  uint64_t cut = 2000 * P + 77, i;

  want_origin (f);
  resize (f, SIZE + 10 * P);
  assert_int_equal (0, disk_read (f->disk[0], f->buf, 10 * P, SIZE));
  for (i = 0; i < 10 * P; i++)
    assert_int_equal (0, f->buf[i]);
  resize (f, cut);
  resize (f, SIZE);
  memset (f->want + cut, 0, SIZE - cut);
  assert_reads (f, f->disk[0], 2000 * P, SIZE - 2000 * P);
  assert_reads (f, f->disk[0], 0, SIZE);
  /* A write beside the seam sees zeros there, too. */
  resize (f, 1500 * P + 50);
  resize (f, SIZE);
  memset (f->want + 1500 * P + 50, 0, SIZE - 1500 * P - 50);
  assert_int_equal (0, disk_write (f->disk[0], "a", 1, 1500 * P + 100));
  f->want[1500 * P + 100] = 'a';
  assert_reads (f, f->disk[0], 0, SIZE);
  /* A smaller disk over the same origin. */
  f->disk[1] = disk_new_over (f->a, 10 * P, 1, f->o);
  assert_int_equal (0, disk_resize (f->disk[1], 20 * P));
  memset (f->want + 10 * P, 0, 10 * P);
  assert_reads (f, f->disk[1], 0, 20 * P);
}

/* -------------------------------------------------------- map and diff */

struct seen {
  uint64_t offset, length[4], last;
  enum extent_type type;
  unsigned n;
};

static int
see_extent (void *opaque, uint64_t offset, uint64_t length,
            enum extent_type type)
{
  struct seen *s = opaque;

  assert_int_equal (s->offset, offset);
  assert_true (length > 0);
  if (s->n > 0)
    assert_int_not_equal (s->type, type);
  s->offset += length;
  s->length[type] += length;
  s->type = type;
  s->n++;
  return 0;
}

static struct seen
map (struct disk *d, uint64_t offset, uint64_t count)
{
  struct seen s = { .offset = offset };

  assert_int_equal (0, disk_extents (d, count, offset, see_extent, &s));
  assert_true (s.offset >= offset + count);
  return s;
}

static void
test_block_status (void **state)
{
  struct fixture *f = *state;
  uint64_t zero = 0, i;
  struct seen s;

  want_origin (f);
  for (i = 0; i < PAGES; i++)
    zero += f->want[i * P] == 0;
  s = map (f->disk[0], 0, SIZE);
  assert_int_equal (zero * P, s.length[EXTENT_HOLE]);
  assert_int_equal (SIZE - zero * P, s.length[EXTENT_DATA]);
  assert_int_equal (SIZE, s.offset);
  assert_int_equal (0, fetches (f));
  /* What it said of zeros need not be read. */
  assert_reads (f, f->disk[0], 200 * P, 40 * P);
  assert_int_equal (0, fetches (f));
  assert_reads (f, f->disk[0], 0, SIZE);
  s = map (f->disk[0], 0, SIZE);
  assert_int_equal (zero * P, s.length[EXTENT_HOLE]);
  assert_int_equal (0, disk_zero (f->disk[0], 10 * P, 1040 * P, false));
  s = map (f->disk[0], 1040 * P, 10 * P);
  assert_int_equal (EXTENT_ZERO, s.type);
  s = map (f->disk[0], 1040 * P + 5, 7);
  assert_int_equal (EXTENT_ZERO, s.type);
  /* Away: data is never wrong. */
  f->disk[1] = disk_new_over (f->a, SIZE + 5 * P, 1, f->o);
  f->b->away = true;
  s = map (f->disk[1], 0, SIZE + 5 * P);
  assert_int_equal (SIZE + 5 * P, s.offset);
}

static void
test_block_status_away (void **state)
{
  struct fixture *f = *state;
  const uint64_t end = (SIZE + P - 1) / P * P;  /* extents are whole pages */
  struct seen s;

  f->b->away = true;
  assert_int_equal (0, disk_trim (f->disk[0], 10 * P, 100 * P));
  resize (f, SIZE + 50 * P);
  s = map (f->disk[0], 0, SIZE + 50 * P);
  assert_int_equal (10 * P, s.length[EXTENT_ZERO]);
  assert_int_equal (end - 10 * P, s.length[EXTENT_DATA]);
  assert_int_equal (SIZE + 50 * P - end, s.length[EXTENT_HOLE]);
}

/* A source may say that there are zeros where it had data, for example because
 * somebody has changed it.  What was fetched stays, and is counted.
 */
static void
test_block_status_of_what_is_there (void **state)
{
  struct fixture *f = *state;
  struct origin_stats before, after;

  want_origin (f);
  assert_reads (f, f->disk[0], 100 * P, 20 * P);
  origin_stats (f->o, &before);
  f->b->all_zeros = true;
  map (f->disk[0], 0, SIZE);
  origin_stats (f->o, &after);
  assert_int_equal (before.memory, after.memory);
  assert_int_equal (SIZE, after.known);
  f->b->away = true;
  assert_reads (f, f->disk[0], 100 * P, 20 * P);
}

static int
add_diff (void *opaque, uint64_t offset, uint64_t length)
{
  uint64_t *d = opaque;

  d[0] += length;
  d[1] = d[1] < offset + length ? offset + length : d[1];
  d[2]++;
  return 0;
}

static void
assert_diff (struct fixture *f, uint64_t length, uint64_t end, unsigned n)
{
  uint64_t d[3] = { 0 };

  assert_int_equal (0, disk_diff (f->disk[0], f->disk[1], 0, add_diff, NULL,
                                  d));
  assert_int_equal (length, d[0]);
  assert_int_equal (end, d[1]);
  assert_int_equal (n, d[2]);
}

static void
test_diff (void **state)
{
  struct fixture *f = *state;

  memset (f->buf, 'x', 10 * P);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, P, 30 * P));
  f->disk[1] = disk_clone (f->disk[0]);
  assert_diff (f, 0, 0, 0);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, 2 * P, 2000 * P));
  assert_int_equal (0, disk_trim (f->disk[1], P, 2500 * P));
  assert_diff (f, 3 * P, 2501 * P, 2);
  assert_int_equal (0, fetches (f));
  /* One that was shrunk and grown again has zeros where the other has not
   * (but for the page that it has trimmed), also below a node that they share.
   */
  resize (f, 40 * P + 5);
  resize (f, SIZE);
  assert_diff (f, SIZE - 41 * P, SIZE, 2);
  assert_int_equal (0, fetches (f));
}

/* --------------------------------------------------------------- memory */

static int
setup_small (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  *state = f;
  return begin_with (f, 4 << 20, 0, false);  /* the origin has 12 MiB */
}

static void
test_evicts_under_pressure (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;
  uint64_t i;

  want_origin (f);
  for (i = 0; i < 3; i++)
    assert_reads (f, f->disk[0], 0, SIZE);
  origin_stats (f->o, &s);
  assert_true (s.evicted > 0);
  assert_true (s.memory <= 4 << 20);
  /* Writes have the memory first. */
  memset (f->buf, 'x', 700 * P);
  assert_int_equal (0, disk_write (f->disk[0], f->buf, 700 * P, 0));
  memset (f->want, 'x', 700 * P);
  assert_reads (f, f->disk[0], 0, SIZE);
  /* And when there is nothing left to be evicted, it is ENOSPC; reads go on. */
  memset (f->buf, 'y', 1000 * P);
  assert_errno (ENOSPC, disk_write (f->disk[0], f->buf, 1000 * P, 900 * P));
  assert_reads (f, f->disk[0], 0, SIZE);
}

static int
setup_limit (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  *state = f;
  return begin_with (f, 64 << 20, 1 << 20, false);
}

static void
test_limit (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;
  uint64_t i;

  want_origin (f);
  for (i = 0; i < SIZE - 100000; i += 100000) {
    assert_reads (f, f->disk[0], i, 100000);
    origin_stats (f->o, &s);
    assert_true (s.memory <= 1 << 20);
  }
  assert_true (s.evicted > 0);
}

/* As an arena without credit does. */
static uint64_t
evict_one (struct fixture *f)
{
  return f->a->pressure[PRESSURE_SECOND].fn
    (f->a->pressure[PRESSURE_SECOND].opaque, 1);
}

/* Nothing is left, neither nodes nor what was known of zeros, and all of it can
 * be fetched again.
 */
static void
test_evicts_nodes (void **state)
{
  struct fixture *f = *state;
  struct arena_stats arena;
  struct origin_stats s;
  unsigned i;

  want_origin (f);
  for (i = 0; i < 3; i++) {
    assert_reads (f, f->disk[0], 0, SIZE);
    map (f->disk[0], 0, SIZE);
    while (evict_one (f) > 0)
      ;
    arena_reclaim (f->a);
    arena_stats (f->a, &arena);
    assert_int_equal (0, arena.used);
    origin_stats (f->o, &s);
    assert_int_equal (0, s.known);
    assert_int_equal (0, s.memory);
  }
  /* Zeros alone, too. */
  map (f->disk[0], 0, SIZE);
  while (evict_one (f) > 0)
    ;
  arena_reclaim (f->a);
  arena_stats (f->a, &arena);
  assert_int_equal (0, arena.used);
  assert_reads (f, f->disk[0], 0, SIZE);
}

static int
setup_prefetch (void **state)
{
  struct fixture *f = calloc (1, sizeof *f);

  *state = f;
  return begin_with (f, 64 << 20, 0, true);
}

static void
await_closed (struct fixture *f)
{
  pthread_mutex_lock (&f->b->lock);
  while (!f->b->closed)
    pthread_cond_wait (&f->b->cond, &f->b->lock);
  pthread_mutex_unlock (&f->b->lock);
}

static void
test_prefetch (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;
  uint64_t i;

  want_origin (f);
  assert_reads (f, f->disk[0], 100 * P, P);
  origins_start (f->set);
  await_closed (f);
  origin_stats (f->o, &s);
  assert_int_equal (ORIGIN_COMPLETE, s.state);
  assert_int_equal (SIZE, s.known);
  assert_reads (f, f->disk[0], 0, SIZE);
  map (f->disk[0], 0, SIZE);
  /* Zeros that the source told of were not read. */
  for (i = 0; i < PAGES; i++)
    assert_true (f->b->reads[i] <= 1);
  assert_int_equal (0, f->b->reads[400]);
  /* Nothing is evicted any more. */
  assert_int_equal (-1, arena_reserve (f->a, (64 << 20) / P - 100, false));
  assert_reads (f, f->disk[0], 0, SIZE);
}

/* It goes on after an error, and ends when nobody wants it. */
static void
test_prefetch_ends (void **state)
{
  struct fixture *f = *state;

  origin_bdev_hold (f->b, true);
  origins_start (f->set);
  origin_bdev_await (f->b, 1);
}

static void
test_prefetch_away (void **state)
{
  struct fixture *f = *state;

  want_origin (f);
  f->b->away = true;
  origins_start (f->set);
  assert_errno (EIO, disk_read (f->disk[0], f->buf, P, 1000 * P));
  pthread_mutex_lock (&f->b->lock);
  f->b->away = false;
  pthread_mutex_unlock (&f->b->lock);
  await_closed (f);
  assert_reads (f, f->disk[0], 0, SIZE);
}

static void
test_fetch (void **state)
{
  struct fixture *f = *state;
  uint64_t n;

  want_origin (f);
  assert_int_equal (0, disk_fetch (f->disk[0], 300 * P, 1000 * P + 5));
  n = fetches (f);
  assert_true (n > 0);
  assert_reads (f, f->disk[0], 1000 * P, 300 * P);
  assert_int_equal (n, fetches (f));
  assert_int_equal (0, disk_fetch (f->disk[0], 300 * P, 1000 * P));
  assert_int_equal (n, fetches (f));
  f->b->away = true;
  assert_errno (EIO, disk_fetch (f->disk[0], 300 * P, 2000 * P));
}

int
main (void)
{
#define TEST_WITH(name, setup) \
  cmocka_unit_test_setup_teardown (name, setup, teardown)
#define TEST(name) TEST_WITH (name, setup)
  const struct CMUnitTest tests[] = {
    TEST (test_reads_everything_once),
    TEST (test_fetches_little_for_little),
    TEST (test_large_blocks),
    TEST (test_zeros_in_large_blocks),
    TEST (test_two_readers_one_fetch),
    TEST (test_one_bad_place),
    TEST (test_away),
    TEST (test_changes_fetch_nothing),
    TEST (test_parts_of_pages),
    TEST (test_quota),
    TEST (test_quota_for_edges),
    TEST (test_quota_for_zero_edge),
    TEST (test_memory_for_edges),
    TEST (test_bad_edge),
    TEST (test_clones),
    TEST (test_sizes),
    TEST (test_block_status),
    TEST (test_block_status_away),
    TEST (test_block_status_of_what_is_there),
    TEST (test_diff),
    TEST (test_fetch),
    TEST (test_evicts_nodes),
    TEST_WITH (test_evicts_under_pressure, setup_small),
    TEST_WITH (test_limit, setup_limit),
    TEST_WITH (test_prefetch, setup_prefetch),
    TEST_WITH (test_prefetch_ends, setup_prefetch),
    TEST_WITH (test_prefetch_away, setup_prefetch),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
