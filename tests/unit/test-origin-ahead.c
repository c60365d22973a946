/* SPDX-License-Identifier: BSD-3-Clause */
/* Read-ahead from an origin: what a reader in order needs next comes without
 * its asking, and a reader that stops has not fetched much more than it has
 * read.
 */

#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "ramdisk/disk-origin.h"
#include "tests/unit/engine-check.h"
#include "tests/unit/origin-bdev.h"

#define P ((uint64_t) PAGE_BYTES)
#define PAGES ((uint64_t) 2999)

struct fixture {
  struct arena *a;
  struct origins *set;
  struct origin_bdev *b;
  struct origin *o;
  struct disk *d;
};

static int
begin (void **state, uint64_t limit)
{
  struct fixture *f = calloc (1, sizeof *f);
  struct origin_options options = { .prefetch = false };

  *state = f;
  f->a = arena_create (64 << 20);
  f->set = origins_new (f->a, limit);
  f->b = origin_bdev (PAGES * P);
  f->b->reader = pthread_self ();
  options.source = origin_bdev_source (f->b);
  f->o = origin_new (f->set, &options);
  f->d = f->o ? disk_new_over (f->a, PAGES * P, 1, f->o) : NULL;
  if (f->d == NULL)
    return 1;
  origins_start (f->set);
  return 0;
}

static int
setup (void **state)
{
  return begin (state, 0);
}

static int
setup_limit (void **state)
{
  return begin (state, 1 << 20);
}

/* Read-ahead may still be going on. */
static int
teardown (void **state)
{
  struct fixture *f = *state;

  disk_free (f->d);
  origin_put (f->o);
  origins_stop (f->set);
  assert_int_equal (1, f->b->closed);
  engine_check (f->a, NULL, 0);
  origins_free (f->set);
  arena_destroy (f->a);
  origin_bdev_free (f->b);
  free (f);
  return 0;
}

static void
read_pages (struct fixture *f, uint64_t page, uint64_t n)
{
  char *buf = malloc (n * P), want[PAGE_BYTES];
  uint64_t i;

  assert_non_null (buf);
  assert_int_equal (0, disk_read (f->d, buf, n * P, page * P));
  for (i = 0; i < n; i++) {
    origin_bdev_page (page + i, want);
    assert_memory_equal (want, buf + i * P, P);
  }
  free (buf);
}

static void
wait_for (struct fixture *f, uint64_t page)
{
  struct origin_leaf leaf;
  unsigned tries;
  bool there;

  for (tries = 0;; tries++) {
    leaf.known = false;
    rcu_enter ();
    there = origin_find (f->o, page, &leaf) != PAGE_HOLE;
    rcu_exit ();
    if (there)
      return;
    assert_true (tries < 60000);
    usleep (1000);
  }
}

/* How many pages were fetched, once it has been the same for a while.  A slow
 * machine sees too few.
 */
static uint64_t
fetched_at_rest (struct fixture *f)
{
  uint64_t before;
  struct origin_stats s = { .fetched = 0 };

  do {
    before = s.fetched;
    usleep (50000);
    origin_stats (f->o, &s);
  } while (s.fetched != before);
  return s.fetched / P;
}

/* Each time that the reader has come to a page that was fetched ahead, more
 * is.
 */
static void
test_follows (void **state)
{
  struct fixture *f = *state;
  uint64_t page, i;

  for (page = 0; page < PAGES - 32; page += 16) {
    read_pages (f, page, 16);
    if (page >= 48)
      wait_for (f, page + 31);
  }
  assert_int_equal (3, f->b->reads_of_reader);
  read_pages (f, 0, PAGES);
  for (i = 0; i < PAGES; i++)
    assert_int_equal (1, f->b->reads[i]);
}

/* The second of two long requests has three times as much follow as was read.
 */
static void
test_long_requests (void **state)
{
  struct fixture *f = *state;

  read_pages (f, 0, 64);
  assert_int_equal (64, fetched_at_rest (f));
  read_pages (f, 64, 64);
  wait_for (f, 511);
  assert_int_equal (2, f->b->reads_of_reader);
  assert_true (fetched_at_rest (f) <= 5 * 128);
}

/* However the runs grow: not more is fetched than a small multiple of what was
 * read.
 */
static void
test_is_bounded (void **state)
{
  struct fixture *f = *state;
  uint64_t page;

  for (page = 1000; page < 1160; page += 16) {
    read_pages (f, page, 16);
    if (page >= 1048)
      wait_for (f, page + 31);
    assert_true (fetched_at_rest (f) <= 5 * (page + 16 - 1000) + 16);
  }
}

/* A reader that begins before a stream, and reads into it. */
static void
test_begins_earlier (void **state)
{
  struct fixture *f = *state;

  read_pages (f, 1000, 8);
  read_pages (f, 900, 300);
  read_pages (f, 1200, 64);
  assert_true (fetched_at_rest (f) <= 5 * 364);
}

/* Read-ahead must not evict what it has just fetched. */
static void
test_limit (void **state)
{
  struct fixture *f = *state;
  struct origin_stats s;
  uint64_t page;

  for (page = 0; page + 16 < PAGES; page += 16)
    read_pages (f, page, 16);
  origin_stats (f->o, &s);
  assert_true (s.memory <= 1 << 20);
  assert_true (s.fetched < PAGES * P + PAGES * P / 2);
}

int
main (void)
{
#define TEST(name, setup) \
  cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (test_follows, setup),
    TEST (test_long_requests, setup),
    TEST (test_is_bounded, setup),
    TEST (test_begins_earlier, setup),
    TEST (test_limit, setup_limit),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
