/* SPDX-License-Identifier: BSD-3-Clause */
/* mnbd's cache: what it promises, one behaviour a test (lib/cache/cache.h;
 * tests/stress/cache-stress.c has all of it at once).
 */

#include "unit.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "cache/cache-private.h"
#include "cache/cache.h"
#include "tests/unit/cache-bdev.h"

#define BLOCK 4096u
#define SIZE ((UINT64_C (8) << 20) + 1536)
#define MIB (UINT64_C (1) << 20)

static struct memory origin, local;
static struct cache_options options;
static struct cache *cache;
static struct cache_client client;
static uint8_t shadow[SIZE];    /* what the origin holds at the start */
static uint8_t buf[SIZE], other[SIZE];

static void
no_log (void *opaque, const char *line)
{
  (void) opaque;
  (void) line;
}

static int
setup (void **state)
{
  uint64_t i, x = 1;

  (void) state;
  memory_init (&origin, SIZE);
  memory_init (&local, SIZE + 10 * BLOCK);
  for (i = 0; i < SIZE; i++) {
    x = x * UINT64_C (6364136223846793005) + 1442695040888963407;
    shadow[i] = x >> 56;
  }
  memory_poke (&origin, shadow, SIZE, 0);
  options = (struct cache_options) {
    .local = &local.bdev, .origin = &origin.bdev, .dirty_max = 2 * MIB,
    .dirty_age = 3600 * NS_PER_S, .log = no_log,
  };
  cache = NULL;
  return 0;
}

static void
begin (void)
{
  char *why = NULL;

  assert_true (cache_can_be (&local.bdev.info, &origin.bdev.info, &why));
  cache = cache_new (&options);
  assert_non_null (cache);
  cache_client_init (&client, &origin.bdev);
}

static int
teardown (void **state)
{
  (void) state;
  if (cache) {
    cache_check (cache);
    cache_stop (cache);
    cache_client_destroy (&client);
    cache_free (cache);
  }
  memory_destroy (&origin);
  memory_destroy (&local);
  return 0;
}

static struct cache_stats
stats (void)
{
  struct cache_stats f;

  cache_stats (cache, &f);
  return f;
}

/* A read gives what the shadow says. */
static void
expect (uint64_t offset, uint32_t n)
{
  memset (buf, 0x55, n);
  assert_int_equal (0, cache_read (cache, &client, &local.bdev, buf, n,
                                   offset));
  assert_memory_equal (buf, shadow + offset, n);
}

static int
put (uint64_t offset, uint32_t n, int byte, uint32_t flags)
{
  memset (buf, byte, n);
  return cache_write (cache, &local.bdev, buf, n, offset, flags);
}

/* ... that succeeds. */
static void
change (uint64_t offset, uint32_t n, int byte, uint32_t flags)
{
  assert_int_equal (0, put (offset, n, byte, flags));
  memset (shadow + offset, byte, n);
}

static void
expect_origin (uint64_t offset, uint32_t n)
{
  memory_peek (&origin, other, n, offset);
  assert_memory_equal (other, shadow + offset, n);
}

static int
flush (void)
{
  return cache_flush (cache, &client, &local.bdev);
}

/* The bdevs are well again.  A worker may have met an error just before, of
 * which a flush may still hear.
 */
static void
flush_after_errors (void)
{
  unsigned i;

  for (i = 0; i < 100 && flush () == -1; i++)
    assert_int_equal (EIO, errno);
  assert_true (i < 100);
}

static void
writeback (void)
{
  options.writeback = true;
  begin ();
}

/* ---------------------------------------------------------------- reads */

static void
test_hit (void **state)
{
  (void) state;
  begin ();
  expect (BLOCK, 2 * BLOCK);
  assert_int_equal (1, origin.reads);
  expect (BLOCK, 2 * BLOCK);
  expect (BLOCK + 100, 5000);
  assert_int_equal (1, origin.reads);
  assert_int_equal (2, stats ().hits);
  assert_int_equal (1, stats ().misses);
  assert_int_equal (2 * BLOCK, stats ().cached_bytes);
}

static void
test_unaligned (void **state)
{
  (void) state;
  begin ();
  expect (BLOCK + 1, 3);
  assert_int_equal (BLOCK, origin.read_bytes);
  expect (BLOCK, BLOCK);
  expect (2 * BLOCK - 1, 2);
  assert_int_equal (2 * BLOCK, origin.read_bytes);
  expect (10 * BLOCK + 7, 3 * BLOCK);
  assert_int_equal (6 * BLOCK, origin.read_bytes);
}

/* The size is not a multiple of a block. */
static void
test_tail (void **state)
{
  (void) state;
  begin ();
  expect (SIZE - 10, 10);
  expect (SIZE - 1536, 1536);
  assert_int_equal (1, origin.reads);
  change (SIZE - 700, 700, 'x', 0);
  expect (SIZE - 5000, 5000);
  expect_origin (SIZE - 5000, 5000);
}

/* Nor is it one of the local bdev's minimum block size. */
static void
test_local_block_size (void **state)
{
  (void) state;
  memory_destroy (&local);
  memory_init (&local, 9 * MIB);
  local.bdev.info.block_min = 65536;
  options.writeback = true;
  begin ();
  expect (SIZE - 10, 10);
  change (SIZE - 700, 700, 'x', 0);
  change (100, 70000, 'y', 0);
  change (200000, 1, 'z', 0);
  expect (0, SIZE);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* A gap that is cached is bridged rather than to ask twice. */
static void
test_bridge (void **state)
{
  (void) state;
  begin ();
  expect (2 * BLOCK, BLOCK);
  expect (0, 5 * BLOCK);
  assert_int_equal (2, origin.reads);
  expect (0, 5 * BLOCK);
  assert_int_equal (2, origin.reads);
}

static void
test_errors_are_not_cached (void **state)
{
  (void) state;
  begin ();
  origin.fail_reads = 1000;
  assert_errno (EIO, cache_read (cache, &client, &local.bdev, buf, BLOCK, 0));
  assert_int_equal (1, stats ().origin_errors);
  assert_int_equal (0, stats ().cached_bytes);
  origin.fail_reads = 0;
  expect (0, BLOCK);
}

struct reader {
  pthread_t t;
  struct cache_client client;
  uint8_t buf[BLOCK];
};

static void *
read_one (void *arg)
{
  struct reader *r = arg;

  return (void *) (intptr_t) cache_read (cache, &r->client, &local.bdev,
                                         r->buf, BLOCK, 5 * BLOCK);
}

static void
test_one_read_for_many (void **state)
{
  static struct reader r[8];
  void *result;
  unsigned i;

  (void) state;
  begin ();
  origin.delay = 20000;
  for (i = 0; i < 8; i++) {
    cache_client_init (&r[i].client, &origin.bdev);
    assert_int_equal (0, pthread_create (&r[i].t, NULL, read_one, &r[i]));
  }
  for (i = 0; i < 8; i++) {
    pthread_join (r[i].t, &result);
    assert_null (result);
    assert_memory_equal (r[i].buf, shadow + 5 * BLOCK, BLOCK);
    cache_client_destroy (&r[i].client);
  }
  assert_int_equal (1, origin.reads);
}

static void
test_read_ahead (void **state)
{
  uint64_t offset;
  struct cache_stats f;

  (void) state;
  begin ();
  origin.delay = 1000;
  for (offset = 0; offset < 8 * MIB; offset += 65536)
    expect (offset, 65536);
  f = stats ();
  /* How much depends on when the workers are let run. */
  assert_in_range (f.ahead_bytes, BLOCK, SIZE + BLOCK);
  assert_in_range (f.ahead_used_bytes, BLOCK, f.ahead_bytes);
  /* Nothing was read twice. */
  assert_int_equal (8 * MIB, f.fetched_bytes & ~(MIB - 1));
  assert_in_range (f.fetched_bytes, 8 * MIB, SIZE);
}

static void
test_no_read_ahead (void **state)
{
  uint64_t i;

  (void) state;
  begin ();
  for (i = 0; i < 1000; i++)
    expect (i * 7919 % 2000 * BLOCK, BLOCK);
  assert_int_equal (0, stats ().ahead_bytes);
}

static void
test_prefetch (void **state)
{
  (void) state;
  begin ();
  assert_int_equal (0, cache_prefetch (cache, &local.bdev, 600000, 1000));
  assert_int_equal (3, origin.reads);
  expect (1000, 600000);
  assert_int_equal (3, origin.reads);
}

/* What the local bdev has, but does not give, the origin has too. */
static void
test_local_read_error (void **state)
{
  (void) state;
  begin ();
  expect (0, 10 * BLOCK);
  local.fail_reads = 1000;
  expect (0, 10 * BLOCK);
  local.fail_reads = 0;
  expect (0, 10 * BLOCK);
  assert_true (stats ().local_errors > 0);
}

/* It was made smaller, and is as large as before when anybody looks again. */
static void
test_local_shrinks (void **state)
{
  (void) state;
  begin ();
  /* Not from 0 on, or a worker would read ahead meanwhile. */
  expect (BLOCK, 100 * BLOCK);
  local.fail_reads = 1000;
  local.error = EINVAL;
  expect (50 * BLOCK, BLOCK);
  local.fail_reads = 0;
  memset (buf, 0, 100 * BLOCK);
  memory_poke (&local, buf, 100 * BLOCK, 0);
  expect (BLOCK, 99 * BLOCK);
}

/* The same, if a write is the first to notice it. */
static void
test_local_shrinks_write (void **state)
{
  uint64_t reads;

  (void) state;
  begin ();
  cache->ending = true;         /* no workers */
  expect (10 * BLOCK, 10 * BLOCK);
  expect (50 * BLOCK, 10 * BLOCK);
  local.end = 40 * BLOCK;
  expect (70 * BLOCK, 5 * BLOCK);
  expect (10 * BLOCK, 10 * BLOCK);
  /* That is no news: what was cached since stays. */
  expect (80 * BLOCK, BLOCK);
  change (45 * BLOCK, BLOCK, 'c', 0);
  reads = origin.reads;
  expect (10 * BLOCK, 10 * BLOCK);
  assert_int_equal (reads, origin.reads);
  assert_int_equal (0, stats ().evicted_bytes);
  memory_grow_again (&local);
  expect (40 * BLOCK, 40 * BLOCK);
  expect (40 * BLOCK, 40 * BLOCK);
  /* Again. */
  local.end = 45 * BLOCK;
  expect (100 * BLOCK, BLOCK);
  memory_grow_again (&local);
  expect (40 * BLOCK, 40 * BLOCK);
}

/* Dirty blocks that were cut off are lost, and nobody gets zeros for them. */
static void
test_local_shrinks_dirty (void **state)
{
  static uint8_t old[SIZE];
  unsigned i;

  (void) state;
  writeback ();
  cache->ending = true;         /* no workers */
  memcpy (old, shadow, SIZE);
  change (10 * BLOCK, BLOCK, 'a', 0);
  change (35 * BLOCK, 10 * BLOCK, 'b', 0);
  change (60 * BLOCK, BLOCK, 'c', 0);
  local.end = 40 * BLOCK;
  assert_int_equal (-1, flush ());
  memory_grow_again (&local);
  /* The others are saved, also of the same run. */
  for (i = 0; i < 20; i++)
    assert_errno (EIO, flush ());
  assert_int_equal (6 * BLOCK, stats ().dirty_bytes);
  expect_origin (0, 40 * BLOCK);
  expect (0, 40 * BLOCK);
  memory_peek (&origin, other, 21 * BLOCK, 40 * BLOCK);
  assert_memory_equal (other, old + 40 * BLOCK, 21 * BLOCK);
  assert_errno (EIO, cache_read (cache, &client, &local.bdev, buf, 1,
                                 44 * BLOCK));
  /* A part is not enough, but a whole is. */
  assert_int_equal (0, put (44 * BLOCK, BLOCK - 1, 'd', 0));
  assert_errno (EIO, cache_read (cache, &client, &local.bdev, buf, 1,
                                 44 * BLOCK));
  assert_errno (EIO, flush ());
  change (40 * BLOCK, 5 * BLOCK, 'e', 0);
  assert_int_equal (0, cache_zero (cache, &local.bdev, BLOCK, 60 * BLOCK, 0));
  memset (shadow + 60 * BLOCK, 0, BLOCK);
  expect (0, 100 * BLOCK);
  flush_after_errors ();
  expect_origin (0, SIZE);
}

static void
test_local_read_error_dirty (void **state)
{
  (void) state;
  writeback ();
  change (0, BLOCK, 'd', 0);
  local.fail_reads = 1000;
  assert_errno (EIO, cache_read (cache, &client, &local.bdev, buf, BLOCK, 0));
  assert_errno (EIO, flush ());
  local.fail_reads = 0;
  expect (0, BLOCK);
  flush_after_errors ();
  expect_origin (0, BLOCK);
}

/* -------------------------------------------------------- write-through */

static void
test_write_through (void **state)
{
  (void) state;
  begin ();
  /* Not from 0 on, or a worker would read ahead meanwhile. */
  change (50 * BLOCK, 3 * BLOCK, 'w', 0);
  expect_origin (50 * BLOCK, 3 * BLOCK);
  expect (50 * BLOCK, 3 * BLOCK);
  assert_int_equal (0, origin.reads);
  /* A part of an absent block leaves it absent. */
  change (10 * BLOCK + 5, 10, 'p', 0);
  expect_origin (10 * BLOCK, BLOCK);
  assert_int_equal (0, origin.reads);
  expect (10 * BLOCK, BLOCK);
  assert_int_equal (1, origin.reads);
  assert_int_equal (0, stats ().dirty_bytes);
}

static void
test_write_through_error (void **state)
{
  (void) state;
  begin ();
  expect (0, 4 * BLOCK);
  origin.fail_writes = 1000;
  assert_errno (EIO, put (BLOCK, 2 * BLOCK, 'e', 0));
  origin.fail_writes = 0;
  /* Some of it is there, and clients see what is. */
  memory_peek (&origin, shadow, 4 * BLOCK, 0);
  expect (0, 4 * BLOCK);
}

static void
test_local_write_error (void **state)
{
  (void) state;
  begin ();
  expect (0, 4 * BLOCK);
  local.fail_writes = 1000;
  change (BLOCK - 5, 2 * BLOCK, 'l', 0);
  expect (0, 4 * BLOCK);
  expect (20 * BLOCK, 4 * BLOCK);
  expect_origin (0, 4 * BLOCK);
  local.fail_writes = 0;
  expect (0, 4 * BLOCK);
}

/* ------------------------------------------------------------ writeback */

static void
test_writeback (void **state)
{
  (void) state;
  writeback ();
  change (0, 100 * BLOCK, 'b', 0);
  assert_int_equal (0, origin.writes);
  assert_int_equal (100 * BLOCK, stats ().dirty_bytes);
  expect (0, 100 * BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
  assert_int_equal (1, origin.flushes);
  assert_int_equal (0, stats ().dirty_bytes);
  assert_int_equal (100 * BLOCK, stats ().writeback_bytes);
  /* Again, and again dirty. */
  change (50 * BLOCK, BLOCK, 'c', 0);
  assert_int_equal (BLOCK, stats ().dirty_bytes);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* What is dirty is so as a whole. */
static void
test_writeback_part (void **state)
{
  (void) state;
  writeback ();
  change (BLOCK + 10, 20, 'p', 0);
  assert_int_equal (1, origin.reads);
  assert_int_equal (0, origin.writes);
  expect (0, 3 * BLOCK);
  change (BLOCK + 100, 3 * BLOCK, 'q', 0);
  expect (0, 6 * BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

static void
test_writeback_error (void **state)
{
  (void) state;
  writeback ();
  change (0, 10 * BLOCK, 'f', 0);
  origin.fail_writes = 1000;
  assert_errno (EIO, flush ());
  assert_int_equal (10 * BLOCK, stats ().dirty_bytes);
  expect (0, 10 * BLOCK);
  cache_check (cache);
  origin.fail_writes = 0;
  flush_after_errors ();
  expect_origin (0, SIZE);
}

/* A block that the origin does not take keeps no other from it. */
static void
test_bad_block (void **state)
{
  unsigned i;

  (void) state;
  writeback ();
  change (20 * BLOCK, BLOCK, 'x', 0);
  change (40 * BLOCK, BLOCK, 'y', 0);
  change (0, BLOCK, 'z', 0);
  origin.bad = 20 * BLOCK;
  for (i = 0; i < 3; i++)
    assert_errno (EIO, flush ());
  expect_origin (0, 20 * BLOCK);
  expect_origin (40 * BLOCK, BLOCK);
  assert_int_equal (BLOCK, stats ().dirty_bytes);
  expect (0, 50 * BLOCK);
  origin.bad = UINT64_MAX;
  flush_after_errors ();
  expect_origin (0, SIZE);
}

/* Would a worker write back now, or else once retry_at is over? */
static bool
is_due (bool later)
{
  int64_t until;
  bool r;

  mutex_lock (&cache->q.lock);
  if (later)
    cache->q.retry_at = 0;
  r = writeback_due (cache, &until);
  mutex_unlock (&cache->q.lock);
  return r;
}

/* A refused block is as old as before, wherever it is in the queue. */
static void
test_refused_age (void **state)
{
  (void) state;
  writeback ();
  cache->ending = true;         /* no workers */
  change (20 * BLOCK, BLOCK, 'o', 0);
  mutex_lock (&cache->q.lock);
  cache->q.ring[cache->q.first].since -= 3600 * NS_PER_S;
  mutex_unlock (&cache->q.lock);
  change (40 * BLOCK, BLOCK, 'y', 0);
  origin.bad = 20 * BLOCK;
  assert_int_equal (-1, write_back_one (cache, &local.bdev, UINT64_MAX));
  assert_int_equal (40, cache->q.ring[cache->q.first].block);
  assert_false (is_due (false));
  assert_true (is_due (true));
  origin.bad = UINT64_MAX;
  /* When it is gone, the rest is not old. */
  assert_int_equal (0, flush ());
  change (60 * BLOCK, BLOCK, 'z', 0);
  assert_false (is_due (true));
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* The origin has lost what is not dirty. */
static void
test_forget (void **state)
{
  (void) state;
  writeback ();
  change (4 * BLOCK, BLOCK, 'd', 0);
  expect (2 * BLOCK, 5 * BLOCK);
  memset (buf, 'o', 2 * BLOCK);
  memory_poke (&origin, buf, 2 * BLOCK, 2 * BLOCK);
  memset (shadow + 2 * BLOCK, 'o', 2 * BLOCK);
  cache_forget (cache, &local.bdev);
  assert_int_equal (BLOCK, stats ().cached_bytes);
  expect (2 * BLOCK, 5 * BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

static void
test_flush_error (void **state)
{
  (void) state;
  writeback ();
  change (0, BLOCK, 'f', 0);
  origin.fail_flushes = 1000;
  assert_errno (EIO, flush ());
  origin.fail_flushes = 0;
  assert_int_equal (0, flush ());
}

static void
test_fua (void **state)
{
  (void) state;
  writeback ();
  change (0, 2 * BLOCK, 'a', 0);
  change (100, BLOCK, 'b', BDEV_FUA);
  memory_peek (&origin, other, BLOCK, 100);
  assert_memory_equal (other, shadow + 100, BLOCK);
  expect (0, 2 * BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* An origin that does not know FUA is flushed. */
static void
test_fua_emulated (void **state)
{
  (void) state;
  origin.bdev.info.can_fua = false;
  begin ();
  change (0, BLOCK, 'a', BDEV_FUA);
  assert_int_equal (1, origin.flushes);
}

static void
test_dirty_max (void **state)
{
  uint64_t i;

  (void) state;
  options.dirty_max = MIB;
  writeback ();
  for (i = 0; i < 2000; i++) {
    change (i * 7919 % 2000 * BLOCK, BLOCK, i, 0);
    assert_true (stats ().dirty_bytes <= MIB);
  }
  expect (0, SIZE);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

static unsigned small_writes;

/* While one dirty block is being written back, this one takes the place of the
 * one before.
 */
static void
write_small (void)
{
  uint64_t block = 300 + small_writes % 700 * 2;
  char bytes[BLOCK] = "small";

  if (atomic_load (&cache->dirty) == cache->dirty_max || small_writes == 10000)
    return;
  small_writes++;
  assert_int_equal (0, cache_write (cache, &local.bdev, bytes, BLOCK,
                                    block * BLOCK, 0));
  memcpy (shadow + block * BLOCK, bytes, BLOCK);
}

/* Small writes that take each block that becomes free do not keep a large one
 * waiting for ever.
 */
static void
test_dirty_max_starving (void **state)
{
  uint64_t i;

  (void) state;
  options.dirty_max = MIB;
  small_writes = 0;
  writeback ();
  cache->ending = true;         /* no workers */
  for (i = 0; i < MIB / BLOCK; i++)
    change ((1100 + i * 2) * BLOCK, BLOCK, i, 0);
  origin.before_write = write_small;
  change (0, MIB / 2, 'b', 0);
  origin.before_write = NULL;
  assert_in_range (small_writes, 100, 1000);
  expect_origin (0, MIB / 2);
  expect (0, MIB / 2);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

static void
pause_ms (long ms)
{
  struct timespec ts = { .tv_nsec = ms * 1000000 };

  nanosleep (&ts, NULL);
}

static void
test_dirty_age (void **state)
{
  unsigned i;

  (void) state;
  options.dirty_age = 20 * NS_PER_MS;
  writeback ();
  change (0, 10 * BLOCK, 'o', 0);
  for (i = 0; i < 1000 && stats ().dirty_bytes; i++)
    pause_ms (10);
  assert_int_equal (0, stats ().dirty_bytes);
  expect_origin (0, SIZE);
}

/* If neither side takes it the client hears of it. */
static void
test_dirty_full_and_origin_fails (void **state)
{
  uint64_t i;
  int r = 0;

  (void) state;
  options.dirty_max = MIB;
  writeback ();
  origin.fail_writes = 1000;
  for (i = 0; i < 256; i++)
    change (i * BLOCK, BLOCK, i, 0);
  r = put (1000 * BLOCK, BLOCK, 'x', 0);
  assert_int_equal (-1, r);
  origin.fail_writes = 0;
  memory_peek (&origin, shadow + 1000 * BLOCK, BLOCK, 1000 * BLOCK);
  expect (0, SIZE);
  flush_after_errors ();
  expect_origin (0, SIZE);
}

static void
test_stop (void **state)
{
  (void) state;
  writeback ();
  change (0, 10 * BLOCK, 's', 0);
  assert_int_equal (0, cache_stop (cache));
  expect_origin (0, SIZE);
  assert_errno (ESHUTDOWN, put (0, 1, 'x', 0));
  assert_errno (ESHUTDOWN, flush ());
  assert_errno (ESHUTDOWN,
                cache_read (cache, &client, &local.bdev, buf, 1, 0));
}

/* Wait until so many ranges are held, and so many waited for. */
static void
wait_ranges (unsigned held, unsigned waited_for)
{
  unsigned granted, waiting, i;

  for (i = 0; i < 60000; i++) {
    ranges_count (&cache->ranges, &granted, &waiting);
    if (granted == held && waiting == waited_for)
      return;
    nanosleep (&(struct timespec) { .tv_nsec = 1000000 }, NULL);
  }
  fail_msg ("%u ranges are held and %u waited for, expected %u and %u",
            granted, waiting, held, waited_for);
}

static void
hold_block (struct range *range, uint64_t block)
{
  lock_blocks (cache, range, (struct blocks) { block, block + 1 });
}

static void *
late_write (void *opaque)
{
  int *error = opaque;
  char late[BLOCK] = "late";

  *error = cache_write (cache, &local.bdev, late, BLOCK, 10 * BLOCK, 0)
    == -1 ? errno : 0;
  return NULL;
}

/* A write that was under way when the cache was stopped is not acknowledged:
 * nobody would write it back.
 */
static void
test_stop_under_way (void **state)
{
  pthread_t thread;
  struct range range;
  int error = -1;

  (void) state;
  writeback ();
  hold_block (&range, 10);
  pthread_create (&thread, NULL, late_write, &error);
  wait_ranges (1, 1);
  assert_int_equal (0, cache_stop (cache));
  ranges_unlock (&cache->ranges, &range);
  pthread_join (thread, NULL);
  assert_int_equal (ESHUTDOWN, error);
}

static void *
write_back (void *opaque)
{
  (void) opaque;
  assert_int_equal (1, write_back_one (cache, &local.bdev, UINT64_MAX));
  return NULL;
}

static void *
give_up_writing (void *opaque)
{
  (void) opaque;
  assert_int_equal (-1, write_back_one (cache, &local.bdev, UINT64_MAX));
  assert_int_equal (ESHUTDOWN, errno);
  return NULL;
}

static bool
is_flushing (void)
{
  bool r;

  mutex_lock (&cache->q.lock);
  r = cache->q.flushing > 0;
  mutex_unlock (&cache->q.lock);
  return r;
}

static void *
flush_in_thread (void *opaque)
{
  *(int *) opaque = flush ();
  return NULL;
}

/* A thread that gives up, for example because its client has gone, has not been
 * refused anything: a flush that waits for its blocks writes them itself.
 */
static void
test_given_up (void **state)
{
  pthread_t writer, flusher;
  struct range range;
  int r = -2;

  (void) state;
  writeback ();
  change (0, BLOCK, 'g', 0);
  origin.error = ESHUTDOWN;
  origin.fail_next_write = true;
  ranges_lock (&cache->ranges, &range, 0, BLOCK, RANGE_EXCLUSIVE);
  pthread_create (&writer, NULL, give_up_writing, NULL);
  wait_ranges (1, 1);
  pthread_create (&flusher, NULL, flush_in_thread, &r);
  while (!is_flushing ())
    pause_ms (1);
  ranges_unlock (&cache->ranges, &range);
  pthread_join (writer, NULL);
  pthread_join (flusher, NULL);
  assert_int_equal (0, r);
  expect_origin (0, SIZE);
}

/* Until a flush has found it, or for a moment, no worker takes it again: else
 * the flush would wait for one after the other, and never learn that the
 * origin is away.
 */
static void
test_given_up_again (void **state)
{
  int64_t until;

  (void) state;
  writeback ();
  change (0, BLOCK, 'g', 0);
  origin.error = ESHUTDOWN;
  origin.fail_next_write = true;
  assert_int_equal (-1, write_back_one (cache, &local.bdev, UINT64_MAX));
  mutex_lock (&cache->q.lock);
  assert_true (cache->q.retry_at != 0);
  cache->q.retry_at = clock_now () + 3600 * NS_PER_S;
  cache->q.flushing++;
  assert_false (writeback_due (cache, &until));
  assert_true (until != NEVER);
  cache->q.flushing--;
  mutex_unlock (&cache->q.lock);
  assert_int_equal (0, flush ());
  change (0, BLOCK, 'h', 0);
  mutex_lock (&cache->q.lock);
  cache->q.flushing++;
  assert_true (writeback_due (cache, &until));
  cache->q.flushing--;
  mutex_unlock (&cache->q.lock);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* A thread that writes this block back loses the range, which somebody else
 * then has, and in that time the block becomes dirty again.
 */
static void
dirty_again (pthread_t thread, struct range *range, uint64_t block,
             unsigned held)
{
  mutex_lock (&cache->q.lock);
  ranges_unlock (&cache->ranges, range);
  wait_ranges (held, held);
  table_set_valid (cache, block, DIRTY);
  atomic_fetch_add (&cache->dirty, 1);
  mutex_unlock (&cache->q.lock);
  pthread_join (thread, NULL);
}

/* C5: threads put blocks back in any order, and a flush still finds those that
 * are older than itself.
 */
static void
test_put_back (void **state)
{
  struct range range[2];
  pthread_t thread[2];

  (void) state;
  writeback ();
  change (10 * BLOCK, BLOCK, 'a', 0);
  change (20 * BLOCK, BLOCK, 'b', 0);
  hold_block (&range[0], 10);
  hold_block (&range[1], 20);
  pthread_create (&thread[0], NULL, write_back, NULL);
  wait_ranges (2, 1);
  pthread_create (&thread[1], NULL, write_back, NULL);
  wait_ranges (2, 2);
  dirty_again (thread[0], &range[0], 10, 1);
  dirty_again (thread[1], &range[1], 20, 0);
  /* For a flush that came between the two. */
  assert_int_equal (1, write_back_one (cache, &local.bdev, 1));
  assert_int_equal (0, write_back_one (cache, &local.bdev, 1));
  assert_int_equal (1, write_back_one (cache, &local.bdev, UINT64_MAX));
}

/* --------------------------------------------------------------- zeroes */

static void
test_zero (void **state)
{
  (void) state;
  writeback ();
  expect (0, 5 * BLOCK);
  change (20 * BLOCK, 5 * BLOCK, 'd', 0);
  assert_int_equal (0, cache_zero (cache, &local.bdev, 30 * BLOCK,
                                   BLOCK + 10, BDEV_MAY_TRIM));
  memset (shadow + BLOCK + 10, 0, 30 * BLOCK);
  expect_origin (BLOCK + 10, 30 * BLOCK);
  expect (0, 40 * BLOCK);
  assert_int_equal (0, stats ().dirty_bytes);
  /* The edges of a dirty block that is zeroed in part. */
  change (50 * BLOCK, BLOCK, 'e', 0);
  assert_int_equal (0, cache_zero (cache, &local.bdev, 10, 50 * BLOCK + 5,
                                   0));
  memset (shadow + 50 * BLOCK + 5, 0, 10);
  expect (50 * BLOCK, BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

static void
test_fast_zero (void **state)
{
  (void) state;
  begin ();
  expect (0, BLOCK);
  origin.fail_writes = 1000;
  origin.error = ENOTSUP;
  assert_errno (ENOTSUP, cache_zero (cache, &local.bdev, BLOCK, 0,
                                     BDEV_FAST_ZERO));
  assert_int_equal (BLOCK, stats ().cached_bytes);
}

static void
test_trim (void **state)
{
  (void) state;
  writeback ();
  expect (0, 10 * BLOCK);
  change (4 * BLOCK, 2 * BLOCK, 't', 0);
  assert_int_equal (0, cache_trim (cache, &local.bdev, 3 * BLOCK,
                                   BLOCK + 100, 0));
  /* This origin zeroes what is trimmed; what was dirty around it stays. */
  memset (shadow + BLOCK + 100, 0, 3 * BLOCK);
  expect (0, 10 * BLOCK);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* ------------------------------------------------------------- eviction */

static void
test_max (void **state)
{
  uint64_t i, round;

  (void) state;
  options.max = 2 * MIB;
  begin ();
  for (round = 0; round < 2; round++)
    for (i = 0; i < 2000; i++) {
      expect (i * 7919 % 2000 * BLOCK, BLOCK);
      assert_true (stats ().cached_bytes <= 2 * MIB);
    }
  assert_true (stats ().evicted_bytes > 0);
  assert_true (memory_pages (&local) <= 2 * MIB / BLOCK);
}

/* What is used again and again stays. */
static void
test_clock (void **state)
{
  uint64_t i, reads;

  (void) state;
  options.max = 2 * MIB;
  begin ();
  for (i = 0; i < 1500; i++) {
    expect (0, BLOCK);
    expect ((i * 7919 % 1900 + 100) * BLOCK, BLOCK);
  }
  reads = origin.reads;
  expect (0, BLOCK);
  assert_int_equal (reads, origin.reads);
}

/* The local bdev is full before the cache is. */
static void
test_full (void **state)
{
  uint64_t i;

  (void) state;
  local.room = 100;
  begin ();
  for (i = 0; i < 1000; i++) {
    expect (i * 7919 % 2000 * BLOCK, BLOCK);
    change (i * 104729 % 2000 * BLOCK, BLOCK, i, 0);
  }
  expect (0, SIZE);
  assert_true (stats ().evicted_bytes > 0);
  assert_int_equal (stats ().cached_bytes,
                    memory_pages (&local) * BLOCK);
}

static void
fail_origin_write (void)
{
  origin.fail_next_write = true;
}

/* A dirty block and clean ones behind it, and a local bdev that fails to store
 * a change of all of them once the origin has it.  Then the origin fails, too.
 */
static void
begin_half_change (void)
{
  writeback ();
  cache->ending = true;         /* no workers */
  change (0, BLOCK, 'd', 0);
  expect (BLOCK, 3 * BLOCK);
  local.before_write = fail_origin_write;
  local.fail_writes = 1000;
}

/* C1: the clean blocks are what the origin has. */
static void
end_half_change (void)
{
  local.before_write = NULL;
  local.fail_writes = 0;
  memory_peek (&origin, shadow + BLOCK, 3 * BLOCK, BLOCK);
  expect (BLOCK, 3 * BLOCK);
}

static void
test_half_write (void **state)
{
  (void) state;
  begin_half_change ();
  assert_errno (EIO, put (100, 3 * BLOCK, 'h', BDEV_FUA));
  end_half_change ();
}

static void
test_half_zero (void **state)
{
  (void) state;
  begin_half_change ();
  assert_errno (EIO, cache_zero (cache, &local.bdev, 3 * BLOCK, 100, 0));
  end_half_change ();
}

/* A write to the local bdev alone that stops somewhere. */
static void
test_half_writeback (void **state)
{
  uint64_t i;

  (void) state;
  writeback ();
  cache->ending = true;
  for (i = 0; i < 100; i += 10) {
    expect (i * BLOCK, 5 * BLOCK);
    local.fail_writes = origin.fail_writes = 1000;
    assert_errno (EIO, put (i * BLOCK, 5 * BLOCK, 'h', 0));
    local.fail_writes = origin.fail_writes = 0;
    memory_peek (&origin, shadow + i * BLOCK, 5 * BLOCK, i * BLOCK);
    expect (i * BLOCK, 5 * BLOCK);
  }
}

static void
test_full_writeback (void **state)
{
  uint64_t i;

  (void) state;
  local.room = 100;
  writeback ();
  for (i = 0; i < 1000; i++) {
    change (i * 104729 % 2000 * BLOCK + i % 77, BLOCK, i, 0);
    expect (i * 7919 % 2000 * BLOCK, BLOCK);
  }
  expect (0, SIZE);
  assert_int_equal (0, flush ());
  expect_origin (0, SIZE);
}

/* --------------------------------------------------------- block status */

struct map {
  uint32_t type[SIZE / BLOCK + 1];
  uint64_t end;
};

static int
add (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct map *m = opaque;
  uint64_t i;

  assert_int_equal (m->end, offset);
  m->end = offset + length;
  for (i = offset / BLOCK; i * BLOCK < m->end; i++)
    m->type[i] = type;
  return 0;
}

static void
test_extents (void **state)
{
  static struct map m;

  (void) state;
  assert_int_equal (0, bdev_trim (&origin.bdev, 4 * MIB, 0, 0));
  memset (shadow, 0, 4 * MIB);
  writeback ();
  change (10 * BLOCK, 3 * BLOCK, 'd', 0);
  assert_int_equal (0, cache_extents (cache, &local.bdev, SIZE, 0, 0, add,
                                      &m));
  assert_int_equal (SIZE, m.end);
  assert_int_equal (BDEV_HOLE | BDEV_ZERO, m.type[9]);
  assert_int_equal (0, m.type[10]);
  assert_int_equal (0, m.type[12]);
  assert_int_equal (BDEV_HOLE | BDEV_ZERO, m.type[13]);
  assert_int_equal (0, m.type[1024]);
  /* A clean hole that the local bdev does not know as one. */
  expect (0, MIB);
  m.end = 0;
  assert_int_equal (0, cache_extents (cache, &local.bdev, MIB, 0, 0, add, &m));
  assert_int_equal (BDEV_HOLE | BDEV_ZERO, m.type[9]);
  m.end = 0;
  assert_int_equal (0, cache_extents (cache, &local.bdev, MIB, 0,
                                      BDEV_REQ_ONE, add, &m));
  assert_int_equal (10 * BLOCK, m.end);
}

/* ------------------------------------------------------------ the bdevs */

static uint64_t trimmed;

static int
count_trim (struct bdev *b, uint32_t count, uint64_t offset, uint32_t flags)
{
  (void) b;
  (void) flags;
  assert_int_equal (trimmed, offset);
  assert_int_not_equal (0, count);
  trimmed += count;
  return 0;
}

/* One leaf of the largest blocks is 4 GiB, more than one trim can have. */
static void
test_largest_blocks (void **state)
{
  static const struct bdev_ops ops = { .trim = count_trim };
  static struct bdev big = { .ops = &ops, .info = {
    .size = UINT64_C (1) << 32, .block_min = RUN_BYTES, .can_trim = true } };
  uint64_t i;

  (void) state;
  options.local = options.origin = &big;
  begin ();
  assert_int_equal (LEAF_WORDS, cache->blocks);
  assert_true (room_take (cache, &big, LEAF_WORDS));
  for (i = 0; i < LEAF_WORDS; i++) {
    assert_non_null (table_make_word (cache, i));
    table_set_valid (cache, i, 0);
  }
  trimmed = 0;
  cache_forget (cache, &big);
  assert_int_equal (UINT64_C (1) << 32, trimmed);
}

static void
test_can_be (void **state)
{
  char *why = NULL;

  (void) state;
  origin.bdev.info.size = SIZE + 20 * BLOCK;
  assert_false (cache_can_be (&local.bdev.info, &origin.bdev.info, &why));
  assert_non_null (strstr (why, "8431104 bytes"));
  assert_non_null (strstr (why, "8472064"));
  free (why);
  origin.bdev.info.size = SIZE;
  origin.bdev.info.block_min = 1024;
  assert_false (cache_can_be (&local.bdev.info, &origin.bdev.info, &why));
  assert_non_null (strstr (why, "8390144 bytes"));
  assert_non_null (strstr (why, "block size, 1024"));
  free (why);
  origin.bdev.info.block_min = 512;
  assert_true (cache_can_be (&local.bdev.info, &origin.bdev.info, &why));
  local.bdev.info.readonly = true;
  assert_false (cache_can_be (&local.bdev.info, &origin.bdev.info, &why));
  assert_non_null (strstr (why, "read-only"));
  free (why);
}

#define TEST(name)                                                      \
  cmocka_unit_test_setup_teardown (test_##name, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (hit),
    TEST (unaligned),
    TEST (tail),
    TEST (local_block_size),
    TEST (bridge),
    TEST (errors_are_not_cached),
    TEST (one_read_for_many),
    TEST (read_ahead),
    TEST (no_read_ahead),
    TEST (prefetch),
    TEST (local_read_error),
    TEST (local_shrinks),
    TEST (local_shrinks_write),
    TEST (local_shrinks_dirty),
    TEST (local_read_error_dirty),
    TEST (write_through),
    TEST (write_through_error),
    TEST (local_write_error),
    TEST (writeback),
    TEST (writeback_part),
    TEST (writeback_error),
    TEST (bad_block),
    TEST (refused_age),
    TEST (forget),
    TEST (flush_error),
    TEST (given_up),
    TEST (given_up_again),
    TEST (fua),
    TEST (fua_emulated),
    TEST (dirty_max),
    TEST (dirty_max_starving),
    TEST (dirty_age),
    TEST (dirty_full_and_origin_fails),
    TEST (stop),
    TEST (stop_under_way),
    TEST (put_back),
    TEST (zero),
    TEST (fast_zero),
    TEST (trim),
    TEST (max),
    TEST (clock),
    TEST (full),
    TEST (half_write),
    TEST (half_zero),
    TEST (half_writeback),
    TEST (full_writeback),
    TEST (extents),
    TEST (largest_blocks),
    TEST (can_be),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
