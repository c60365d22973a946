/* SPDX-License-Identifier: BSD-3-Clause */
/* The stress test of origins: threads read, write, zero, trim, resize and clone
 * disks over one origin.  Each thread changes only disks of its own, and knows
 * what must be in each byte; all of them also read the golden disk, which
 * nobody writes to.  The origin fails at random, is slow, and in every other
 * epoch there is less memory than it has content.  After each epoch the
 * engine's invariants are checked, and what is counted of the origin; and, if
 * nothing failed and nothing was evicted, that each page was fetched at most
 * once.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ramdisk/disk-origin.h"
#include "tests/unit/engine-check.h"
#include "tests/unit/origin-bdev.h"

#define P ((uint64_t) PAGE_BYTES)
#define THREADS 4
#define ORIGIN_PAGES 1500       /* more than one leaf */
#define ORIGIN_BYTES (ORIGIN_PAGES * P - 1000)
#define MOST_BYTES ((ORIGIN_PAGES + 100) * P)
#define MOST_COUNT (40 * P)
#define OPS 400

static uint64_t seed = 1;

static struct arena *arena;
static struct origin *origin;
static struct disk *golden;
static char *image;             /* what the golden disk shows */

struct thread {
  pthread_t t;
  uint64_t seed;
  struct disk *d;
  char *shadow;                 /* MOST_BYTES; zeros beyond the size */
  uint64_t size;
  char *buf;
};

void stress_point (void);

void
stress_point (void)
{
  static __thread uint32_t x;

  if (x == 0)
    x = (uint32_t) seed * 2654435761u + (uint32_t) (uintptr_t) &x;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  if (x % 64 == 0)
    sched_yield ();
}

static void __attribute__ ((noreturn))
fail (const char *what, uint64_t offset, uint64_t count)
{
  fprintf (stderr, "origin-stress: %s of %" PRIu64 " bytes at %" PRIu64
           ": %s (seed %" PRIu64 ")\n", what, count, offset, strerror (errno),
           seed);
  abort ();
}

static uint64_t
rnd (struct thread *t, uint64_t n)
{
  t->seed ^= t->seed << 13;
  t->seed ^= t->seed >> 7;
  t->seed ^= t->seed << 17;
  return (t->seed >> 11) % n;
}

/* A range in a disk of that size; often whole pages. */
static uint64_t
range (struct thread *t, uint64_t size, uint64_t *offset)
{
  uint64_t count;

  *offset = rnd (t, size);
  if (rnd (t, 2))
    *offset -= *offset % P;
  count = 1 + rnd (t, MOST_COUNT);
  if (rnd (t, 2))
    count = (count + P - 1) / P * P;
  return count < size - *offset ? count : size - *offset;
}

/* Read, however often the origin fails. */
static void
read_surely (struct disk *d, char *buf, uint64_t count, uint64_t offset)
{
  while (disk_read (d, buf, count, offset) == -1)
    if (errno != EIO)
      fail ("read", offset, count);
}

static void
compare (const char *what, const char *is, const char *want, uint64_t count,
         uint64_t offset)
{
  uint64_t i;

  if (memcmp (is, want, count) == 0)
    return;
  for (i = 0; is[i] == want[i]; i++)
    ;
  fprintf (stderr, "origin-stress: %s: byte %" PRIu64 " of %" PRIu64 " at %"
           PRIu64 " is %d, expected %d (seed %" PRIu64 ")\n", what, i, count,
           offset, is[i], want[i], seed);
  abort ();
}

static void
read_and_compare (struct thread *t, struct disk *d, const char *want,
                  uint64_t size)
{
  uint64_t offset, count = range (t, size, &offset);

  if (disk_read (d, t->buf, count, offset) == -1) {
    if (errno != EIO)
      fail ("read", offset, count);
  }
  else
    compare (d == golden ? "golden" : "read", t->buf, want + offset, count,
             offset);
}

/* A request to change the disk has ended; in t->buf is what was to be there.
 * One that failed has changed nothing, or what a clone that was made meanwhile
 * allows: each page is the old or the new one.
 */
static void
changed (struct thread *t, const char *what, int r, uint64_t count,
         uint64_t offset)
{
  char *now;
  uint64_t i;

  if (r == 0) {
    memcpy (t->shadow + offset, t->buf, count);
    return;
  }
  if (errno != EIO && errno != ENOSPC)
    fail (what, offset, count);
  now = malloc (count);
  read_surely (t->d, now, count, offset);
  for (i = 0; i < count; i++)
    if (now[i] != t->buf[i] && now[i] != t->shadow[offset + i])
      fail (what, offset + i, 1);
  memcpy (t->shadow + offset, now, count);
  free (now);
}

static void
change (struct thread *t)
{
  uint64_t offset, count = range (t, t->size, &offset);
  unsigned what = rnd (t, 4);

  if (what == 0) {
    uint64_t from = (offset + P - 1) / P * P, to = (offset + count) / P * P;

    if (disk_trim (t->d, count, offset) == -1)
      fail ("trim", offset, count);
    /* Without memory it may leave all (D1). */
    read_surely (t->d, t->buf, count, offset);
    if (offset + count == t->size)
      to = t->size;
    if (from < to && t->buf[from - offset] != t->shadow[from])
      memset (t->shadow + from, 0, to - from);
    else if (from < to && memcmp (t->buf + (from - offset), t->shadow + from,
                                  to - from) != 0)
      memset (t->shadow + from, 0, to - from);
    compare ("trim", t->buf, t->shadow + offset, count, offset);
    return;
  }
  memset (t->buf, what == 1 ? 0 : (int) (1 + rnd (t, 200)), count);
  if (what == 1)
    changed (t, "zero", disk_zero (t->d, count, offset, rnd (t, 2)), count,
             offset);
  else if (what == 2)
    changed (t, "write", disk_write (t->d, t->buf, count, offset), count,
             offset);
  else {
    memset (t->buf, 0, count / 2);
    changed (t, "write with zeros", disk_write_detect (t->d, t->buf, count,
                                                       offset),
             count, offset);
  }
}

static void
resize (struct thread *t)
{
  uint64_t size = 1 + rnd (t, MOST_BYTES);

  if (disk_resize (t->d, size) == -1) {
    if (errno != ENOSPC)
      fail ("resize", size, 0);
    return;
  }
  if (size < t->size)
    memset (t->shadow + size, 0, t->size - size);
  t->size = size;
}

/* A clone of its own disk, or of the golden one, takes its place. */
static void
reclone (struct thread *t)
{
  struct disk *source = rnd (t, 4) ? t->d : golden, *clone;

  clone = disk_clone (source);
  if (clone == NULL)
    fail ("clone", 0, 0);
  if (source == golden) {
    memset (t->shadow, 0, MOST_BYTES);
    memcpy (t->shadow, image, ORIGIN_BYTES);
    t->size = ORIGIN_BYTES;
  }
  disk_free (t->d);
  t->d = clone;
}

static int
count_extent (void *opaque, uint64_t offset, uint64_t length,
              enum extent_type type)
{
  struct thread *t = opaque;
  uint64_t i;

  for (i = offset; type != EXTENT_DATA && i < offset + length && i < t->size;
       i++)
    if (t->shadow[i])
      fail ("an extent of zeros", offset, length);
  return 0;
}

static void *
run (void *opaque)
{
  struct thread *t = opaque;
  unsigned i;

  for (i = 0; i < OPS; i++) {
    uint64_t what = rnd (t, 100), offset, count;

    if (what < 25)
      read_and_compare (t, golden, image, ORIGIN_BYTES);
    else if (what < 55)
      read_and_compare (t, t->d, t->shadow, t->size);
    else if (what < 90)
      change (t);
    else if (what < 94)
      resize (t);
    else if (what < 97)
      reclone (t);
    else {
      count = range (t, t->size, &offset);
      if (disk_extents (t->d, count, offset, count_extent, t) == -1)
        fail ("extents", offset, count);
    }
  }
  read_surely (t->d, t->buf, t->size, 0);
  compare ("at the end", t->buf, t->shadow, t->size, 0);
  return NULL;
}

static void
epoch (unsigned number)
{
  bool tight = number % 2, faults = number / 2 % 2, prefetch = number % 3 == 0;
  struct origin_bdev *b = origin_bdev (ORIGIN_BYTES);
  struct origin_options options = {
    .source = origin_bdev_source (b), .prefetch = prefetch,
  };
  struct thread t[THREADS];
  struct disk *all[THREADS + 2];
  struct origin_stats stats;
  struct origins *set;
  unsigned i;

  arena = arena_create (tight ? 5 << 20 : 200 << 20);
  set = origins_new (arena, number % 5 == 4 ? 2 << 20 : 0);
  b->fail_percent = faults ? 10 : 0;
  b->seed = seed + number;
  b->bdev.info.block_min = number % 4 == 3 ? 16384 : 1;
  origin = origin_new (set, &options);
  golden = disk_new_over (arena, ORIGIN_BYTES, 1, origin);
  if (golden == NULL || arena_start (arena) == -1)
    fail ("start", 0, 0);
  origins_start (set);
  for (i = 0; i < THREADS; i++) {
    t[i] = (struct thread) {
      .seed = (seed * 1000 + number * 10 + i + 1) * 2654435761u,
      .d = disk_clone (golden), .size = ORIGIN_BYTES,
      .shadow = calloc (1, MOST_BYTES), .buf = malloc (MOST_BYTES),
    };
    memcpy (t[i].shadow, image, ORIGIN_BYTES);
    if (pthread_create (&t[i].t, NULL, run, &t[i]))
      fail ("thread", 0, 0);
  }
  for (i = 0; i < THREADS; i++)
    pthread_join (t[i].t, NULL);
  origins_stop (set);
  arena_stop (arena);

  origin_check (origin);
  origin_stats (origin, &stats);
  for (i = 0; i < ORIGIN_PAGES && !faults && stats.evicted == 0 && !tight &&
         number % 5 != 4; i++)
    if (b->reads[i] > 1)
      fail ("a page was fetched again", i * P, P);
  for (i = 0; i < THREADS; i++)
    all[i] = t[i].d;
  all[THREADS] = golden;
  all[THREADS + 1] = origin_cache (origin);
  engine_check (arena, all, THREADS + 2);
  for (i = 0; i < THREADS; i++) {
    disk_free (t[i].d);
    free (t[i].shadow);
    free (t[i].buf);
  }
  disk_free (golden);
  origin_put (origin);
  origins_stop (set);
  if (b->closed != 1)
    fail ("close", b->closed, 0);
  engine_check (arena, NULL, 0);
  origins_free (set);
  arena_destroy (arena);
  origin_bdev_free (b);
}

int
main (int argc, char **argv)
{
  static const struct option options[] = {
    { "seconds", required_argument, NULL, 's' },
    { "seed", required_argument, NULL, 'S' },
    { NULL, 0, NULL, 0 }
  };
  uint64_t seconds = 10, i;
  unsigned number = 0;
  time_t end;
  int c;

  seed = time (NULL);
  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1) {
    if (c == 's')
      seconds = strtoull (optarg, NULL, 10);
    else if (c == 'S')
      seed = strtoull (optarg, NULL, 10);
    else
      return 2;
  }
  if (rcu_prepare () == -1)
    return 1;
  printf ("seed %" PRIu64 "\n", seed);
  fflush (stdout);
  image = calloc (ORIGIN_PAGES, P);
  for (i = 0; i < ORIGIN_PAGES; i++)
    origin_bdev_page (i, image + i * P);
  memset (image + ORIGIN_BYTES, 0, ORIGIN_PAGES * P - ORIGIN_BYTES);
  end = time (NULL) + seconds;
  do
    epoch (number++);
  while (seconds == 0 || time (NULL) < end);
  printf ("%u epochs\n", number);
  free (image);
  return 0;
}
