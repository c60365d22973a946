/* SPDX-License-Identifier: BSD-3-Clause */
/* The stress test of the filter's cache, against a shadow disk.
 *
 * Threads read, write, zero, trim, flush and prefetch through one cache between
 * two bdevs that fail, are slow, or are full.  The disk is divided into pieces
 * that are not blocks.  Each thread owns every fourth piece and knows what its
 * own pieces must contain; neighbours share blocks.
 *
 *   - A read returns bytes that were written.  Bytes whose write failed, or
 *     that were trimmed, are unknown, but all reads must agree on them.
 *   - After a flush or a write with FUA, and with write-through after any
 *     write, the origin itself contains what the thread has written (C5).
 *   - Block status never reports bytes that are not zero as zero.
 *   - At the end of an epoch the bdevs are healed: a flush succeeds, the cache
 *     and the origin contain what the shadow says, and the invariants hold.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "tests/abort.h"
#include "tests/random.h"
#include "tests/unit/cache-bdev.h"

#define THREADS 4
#define BLOCK 4096u
#define PIECE 6144u             /* one and a half blocks */
#define SIZE (UINT64_C (1024) * PIECE + 512)
#define MOST 100000u            /* bytes of a request */
#define MOST_RUNS 16            /* more than the cache's workers write back */

static uint64_t seconds = 5, seed = 1, ops = 2500;

static struct memory origin, local;
static struct cache *cache;
static bool writeback;

/* The bytes of the disk, and whether they are known.  Each belongs to one
 * thread.
 */
static uint8_t shadow[SIZE];
static bool known[SIZE];

struct worker {
  pthread_t t;
  unsigned number;
  uint64_t random;
  struct cache_client client;
  uint8_t buf[MOST], check[MOST];
};

#define fail(fmt, ...)                                                  \
  abort_with ("seed %" PRIu64 ": " fmt, seed, ## __VA_ARGS__)

static uint64_t
pick (struct worker *w, uint64_t n)
{
  return xorshift_below (&w->random, n);
}

static unsigned
owner (uint64_t offset)
{
  return offset / PIECE % THREADS;
}

/* A part of one of the worker's own pieces. */
static void
pick_own (struct worker *w, uint64_t *offset, uint32_t *n)
{
  uint64_t piece = pick (w, SIZE / PIECE / THREADS) * THREADS + w->number;
  uint32_t start = pick (w, PIECE), end = start + 1 + pick (w, PIECE - start);

  if (pick (w, 4) == 0) {
    start = 0;
    end = PIECE;
  }
  /* Both bdevs' minimum block sizes: at most 512. */
  start &= ~511u;
  end = (end + 511) & ~511u;
  *offset = piece * PIECE + start;
  *n = end - start;
}

/* Compare what was read of the worker's own bytes with the shadow. */
static void
compare (struct worker *w, const uint8_t *buf, uint64_t offset, uint32_t n,
         const char *where)
{
  uint32_t i;

  for (i = 0; i < n; i++) {
    uint64_t at = offset + i;

    if (owner (at) != w->number)
      continue;
    if (known[at] && shadow[at] != buf[i])
      fail ("%s: byte %" PRIu64 " (block %" PRIu64 ") is %02x, expected %02x "
            "(%s)", where, at, at / BLOCK, buf[i], shadow[at],
            writeback ? "writeback" : "write-through");
    shadow[at] = buf[i];
    known[at] = true;
  }
}

/* The origin itself must contain the worker's bytes.  Unknown bytes may be
 * anything.
 */
static void
compare_origin (struct worker *w, uint64_t offset, uint32_t n,
                const char *why)
{
  uint32_t i;

  memory_peek (&origin, w->check, n, offset);
  for (i = 0; i < n; i++) {
    uint64_t at = offset + i;

    if (owner (at) == w->number && known[at] && shadow[at] != w->check[i])
      fail ("after %s byte %" PRIu64 " of the origin is %02x, expected %02x",
            why, at, w->check[i], shadow[at]);
  }
}

static void
do_read (struct worker *w)
{
  uint64_t offset;
  uint32_t n;

  if (pick (w, 2) == 0)
    pick_own (w, &offset, &n);
  else {
    n = (1 + pick (w, MOST / 512 - 1)) * 512;
    offset = pick (w, (SIZE - n) / 512) * 512;
  }
  if (cache_read (cache, &w->client, &local.bdev, w->buf, n, offset) == 0)
    compare (w, w->buf, offset, n, "read");
}

/* So that read-ahead takes part. */
static void
do_scan (struct worker *w)
{
  uint64_t offset = pick (w, SIZE / 65536 / 2) * 65536;
  unsigned i;

  for (i = 0; i < 16; i++, offset += 16384)
    if (cache_read (cache, &w->client, &local.bdev, w->buf, 16384,
                    offset) == 0)
      compare (w, w->buf, offset, 16384, "scan");
}

static void
do_write (struct worker *w)
{
  uint32_t flags = pick (w, 8) ? 0 : BDEV_FUA, n;
  uint64_t offset;

  pick_own (w, &offset, &n);
  memset (w->buf, pick (w, 256), n);
  memset (known + offset, false, n);
  if (cache_write (cache, &local.bdev, w->buf, n, offset, flags) == -1)
    return;
  memcpy (shadow + offset, w->buf, n);
  memset (known + offset, true, n);
  if (flags || !writeback)
    compare_origin (w, offset, n, flags ? "FUA" : "a write");
}

static void
do_zero (struct worker *w)
{
  uint32_t flags = pick (w, 8) ? 0 : BDEV_FUA, n;
  uint64_t offset;

  pick_own (w, &offset, &n);
  memset (known + offset, false, n);
  if (cache_zero (cache, &local.bdev, n, offset,
                  flags | BDEV_MAY_TRIM) == -1)
    return;
  memset (shadow + offset, 0, n);
  memset (known + offset, true, n);
  compare_origin (w, offset, n, "a zero");
}

static void
do_trim (struct worker *w)
{
  uint64_t offset;
  uint32_t n;

  pick_own (w, &offset, &n);
  memset (known + offset, false, n);
  cache_trim (cache, &local.bdev, n, offset, 0);
}

static void
do_flush (struct worker *w)
{
  uint64_t piece;

  if (cache_flush (cache, &w->client, &local.bdev) == -1)
    return;
  for (piece = w->number; (piece + 1) * PIECE <= SIZE; piece += THREADS)
    compare_origin (w, piece * PIECE, PIECE, "a flush");
}

struct status {
  struct worker *w;
  uint64_t end;
};

static int
check_extent (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct status *s = opaque;
  uint64_t at;

  if (offset != s->end)
    fail ("block status: a gap at %" PRIu64, s->end);
  s->end = offset + length;
  if (type & BDEV_ZERO)
    for (at = offset; at < s->end; at++)
      if (owner (at) == s->w->number && known[at] && shadow[at])
        fail ("block status: byte %" PRIu64 " reads as zero, but is %02x", at,
              shadow[at]);
  return 0;
}

static void
do_extents (struct worker *w)
{
  uint32_t n = (1 + pick (w, 2000)) * 512;
  uint64_t offset = pick (w, (SIZE - n) / 512) * 512;
  struct status s = { w, offset };

  cache_extents (cache, &local.bdev, n, offset, 0, check_extent, &s);
}

static void
do_prefetch (struct worker *w)
{
  uint32_t n = (1 + pick (w, 2000)) * 512;

  cache_prefetch (cache, &local.bdev, n, pick (w, (SIZE - n) / 512) * 512);
}

static void *
work (void *arg)
{
  struct worker *w = arg;
  uint64_t i;

  for (i = 0; i < ops; i++) {
    uint64_t what = pick (w, 1000);

    if (what < 400)
      do_read (w);
    else if (what < 800)
      do_write (w);
    else if (what < 860)
      do_zero (w);
    else if (what < 900)
      do_trim (w);
    else if (what < 920)
      do_flush (w);
    else if (what < 970)
      do_extents (w);
    else if (what < 990)
      do_scan (w);
    else
      do_prefetch (w);
  }
  return NULL;
}

static void
say (void *opaque, const char *line)
{
  (void) opaque;
  (void) line;
}

/* What differs between epochs. */
static void
make_epoch (uint64_t n, struct cache_options *o)
{
  memory_init (&origin, SIZE);
  memory_init (&local, SIZE + 64 * BLOCK);
  local.bdev.info.size &= ~(uint64_t) (BLOCK - 1);
  origin.seed = seed + n;
  local.seed = ~(seed + n);
  writeback = n & 1;
  *o = (struct cache_options) {
    .local = &local.bdev, .origin = &origin.bdev, .writeback = writeback,
    .dirty_max = CACHE_LEAST, .dirty_age = 5 * NS_PER_MS, .log = say,
    .max = n & 2 ? 2 * CACHE_LEAST : 0,
  };
  if (n & 4)
    local.room = 300;
  if (n & 8)
    origin.fail_reads = origin.fail_writes = origin.fail_flushes = 30;
  if (n & 16)
    local.fail_writes = 30;
  if (n & 32) {
    local.bdev.info.block_min = n & 64 ? 4096 : 512;
    origin.bdev.info.block_min = 512;
    origin.bdev.info.can_fua = false;
  }
  if (n % 3 == 0)
    origin.delay = 50;
  /* What a lock-free read has looked up may be gone by now. */
  if (n % 3 == 1)
    local.delay = 20;
  if (n % 5 == 0)
    local.bdev.info.can_trim = false;
  memset (shadow, 0, sizeof shadow);
  memset (known, true, sizeof known);
}

static void
heal (struct memory *m)
{
  m->fail_reads = m->fail_writes = m->fail_flushes = 0;
  m->delay = 0;
  m->room = UINT64_MAX;
}

/* Read-ahead may still be running. */
static void
end_epoch (struct worker *w)
{
  static uint8_t all[SIZE];
  unsigned failed = 0;
  uint64_t at;

  heal (&origin);
  heal (&local);
  /* A run that a worker began before may still fail, and a flush with it. */
  while (cache_flush (cache, &w[0].client, &local.bdev) == -1)
    if (++failed > MOST_RUNS)
      fail ("a flush of bdevs that are well: %s", strerror (errno));
  for (at = 0; at < SIZE; at += PIECE) {
    uint32_t n = SIZE - at < PIECE ? SIZE - at : PIECE;

    if (cache_read (cache, &w[0].client, &local.bdev, all + at, n, at) == -1)
      fail ("a read from bdevs that are well: %s", strerror (errno));
    compare (&w[owner (at)], all + at, at, n, "the end");
    compare_origin (&w[owner (at)], at, n, "the end");
  }
  if (cache_stop (cache) == -1)
    fail ("the end: %s", strerror (errno));
  cache_check (cache);
}

static void
run_epoch (uint64_t n)
{
  static struct worker w[THREADS];
  struct cache_options o;
  unsigned i;

  make_epoch (n, &o);
  cache = cache_new (&o);
  if (cache == NULL)
    fail ("cache_new: %s", strerror (errno));
  for (i = 0; i < THREADS; i++) {
    w[i].number = i;
    w[i].random = (seed + n) * 1000 + i + 1;
    cache_client_init (&w[i].client, &origin.bdev);
    if (pthread_create (&w[i].t, NULL, work, &w[i]))
      fail ("a thread cannot be made");
  }
  for (i = 0; i < THREADS; i++)
    pthread_join (w[i].t, NULL);
  end_epoch (w);
  for (i = 0; i < THREADS; i++)
    cache_client_destroy (&w[i].client);
  cache_free (cache);
  memory_destroy (&origin);
  memory_destroy (&local);
}

int
main (int argc, char **argv)
{
  static const struct option long_options[] = {
    { "seconds", required_argument, NULL, 't' },
    { "seed", required_argument, NULL, 's' },
    { "ops", required_argument, NULL, 'o' },
    { NULL, 0, NULL, 0 }
  };
  uint64_t n = 0;
  int64_t until;
  int opt;

  while ((opt = getopt_long (argc, argv, "", long_options, NULL)) != -1)
    switch (opt) {
    case 't': seconds = strtoull (optarg, NULL, 10); break;
    case 's': seed = strtoull (optarg, NULL, 10); break;
    case 'o': ops = strtoull (optarg, NULL, 10); break;
    default:
      fprintf (stderr, "usage: cache-stress [--seconds N] [--seed N] "
               "[--ops N]\n");
      return 2;
    }
  until = clock_now () + (int64_t) seconds * NS_PER_S;
  do {
    /* 7 is prime to 128: short runs too see all kinds of epochs. */
    run_epoch (n * 7 + seed);
    n++;
  } while (clock_now () < until);
  printf ("%" PRIu64 " epochs, %u threads\n", n, THREADS);
  return 0;
}
