/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache: its life, flush, block status and statistics; cache.h says how it
 * works.
 */

#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/message.h"
#include "bdev/extents.h"
#include "cache/cache-private.h"

/* A block of the table is at least a page. */
#define LEAST_BLOCK 4096u
/* ... and at most what is written back at once. */
#define MOST_BLOCK RUN_BYTES

static_assert (CACHE_LEAST >= 4 * MOST_BLOCK, "a limit is some blocks");
static_assert ((CHUNK & (CHUNK - 1)) == 0 && CHUNK >= MOST_BLOCK,
               "a chunk is whole blocks");

/* ----------------------------------------------------------------- life */

bool
cache_can_be (const struct bdev_info *local, const struct bdev_info *origin,
              char **why)
{
  uint64_t mask = local->block_min - 1;

  if (local->size < origin->size ||
      local->size - origin->size < ((origin->size + mask) & ~mask) -
      origin->size)
    *why = message ("the plugin has %llu bytes, but the upstream has %llu: "
                    "expected at least the upstream's size",
                    (unsigned long long) local->size,
                    (unsigned long long) origin->size);
  else if (local->readonly)
    *why = message ("the plugin's export is read-only: it cannot be a cache");
  else if (local->block_min > MOST_BLOCK || origin->block_min > MOST_BLOCK)
    *why = message ("a minimum block size of %lu bytes: at most %lu can be "
                    "cached",
                    (unsigned long) (local->block_min > MOST_BLOCK ?
                                     local->block_min : origin->block_min),
                    (unsigned long) MOST_BLOCK);
  /* Nobody can read its end, and a block is read as a whole. */
  else if (origin->size & (origin->block_min - 1))
    *why = message ("the upstream has %llu bytes: expected a multiple of its "
                    "minimum block size, %lu",
                    (unsigned long long) origin->size,
                    (unsigned long) origin->block_min);
  else
    return true;
  return false;
}

struct cache *
cache_new (const struct cache_options *options)
{
  struct cache *c = NULL;

  if (posix_memalign ((void **) &c, 64, sizeof *c))
    return NULL;
  memset (c, 0, sizeof *c);
  c->o = *options;
  c->local = options->local;
  c->origin = options->origin;
  c->size = c->origin->info.size;
  c->block = LEAST_BLOCK;
  if (c->block < c->local->info.block_min)
    c->block = c->local->info.block_min;
  if (c->block < c->origin->info.block_min)
    c->block = c->origin->info.block_min;
  c->shift = __builtin_ctz (c->block);
  c->blocks = c->size ? ((c->size - 1) >> c->shift) + 1 : 1;
  c->max = c->o.max >> c->shift;
  c->dirty_max = c->o.dirty_max >> c->shift;
  /* Eviction needs blocks that are not dirty. */
  if (c->max && c->dirty_max > c->max / 2)
    c->dirty_max = c->max / 2;
  c->run = RUN_BYTES >> c->shift;
  c->missing = c->cut = NO_BLOCK;

  if (table_init (c) == -1)
    goto err1;
  if (queue_init (c) == -1)
    goto err2;
  ranges_init (&c->ranges);
  return c;

 err2:
  table_free (c);
 err1:
  free (c);
  return NULL;
}

int
cache_stop (struct cache *c)
{
  int r, err;

  atomic_store (&c->stopped, true);
  r = c->o.writeback ? write_back_last (c, c->local) : 0;
  err = errno;
  workers_end (c);
  errno = err;
  /* A worker may have failed just now. */
  if (r == 0 && c->o.writeback && atomic_load (&c->dirty) > 0)
    r = write_back_last (c, c->local);
  if (r == 0)
    r = origin_flush (c, c->origin);
  return r;
}

void
cache_free (struct cache *c)
{
  if (c == NULL)
    return;
  workers_end (c);
  ranges_destroy (&c->ranges);
  queue_free (c);
  table_free (c);
  free (c);
}

void
cache_client_init (struct cache_client *client, struct bdev *origin)
{
  memset (client, 0, sizeof *client);
  mutex_init (&client->lock);
  client->origin = origin;
}

void
cache_client_destroy (struct cache_client *client)
{
  mutex_destroy (&client->lock);
}

/* ---------------------------------------------------------------- flush */

int
cache_flush (struct cache *c, struct cache_client *client, struct bdev *local)
{
  if (check_running (c) == -1)
    return -1;
  if (c->o.writeback && write_back_all (c, local) == -1)
    return -1;
  return origin_flush (c, client->origin);
}

/* --------------------------------------------------------- block status */

/* One answer takes at most this many questions. */
#define MOST_QUESTIONS 64

/* Combines the extents of both disks, in the blocks that clients know: the
 * origin's, which may be larger than the local bdev's.
 */
struct answer {
  struct extents whole;
  uint64_t pos;                 /* the end of what was reported */
  uint64_t end;                 /* the end of what this bdev may report */
};

static int
tell (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct answer *a = opaque;

  if (offset >= a->end)
    return 0;
  length = bdev_extent_cut (offset, length, a->end);
  a->pos = offset + length;
  return extents_add (&a->whole, offset, length, type);
}

/* Extents that may have to be forgotten. */
struct draft {
  struct { uint64_t offset, length; uint32_t type; } e[MOST_QUESTIONS];
  unsigned n;
};

static int
note (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct draft *d = opaque;

  /* The rest will be asked for again. */
  if (d->n < MOST_QUESTIONS) {
    d->e[d->n].offset = offset;
    d->e[d->n].length = length;
    d->e[d->n++].type = type;
  }
  return 0;
}

/* The sum of the words of these blocks.  Returns false if one is not DIRTY, or
 * LOST.
 */
static bool
sum_dirty (struct cache *c, struct blocks b, uint64_t *sum)
{
  uint64_t i;

  *sum = 0;
  for (i = b.first; i < b.end; i++) {
    uint32_t w = state (c, i);

    if ((w & (DIRTY | LOST)) != DIRTY)
      return false;
    *sum += w & IDENTITY;
  }
  return true;
}

/* Only the local bdev knows about dirty blocks.  Its answer is true if they
 * were dirty all the time.  "Data" is never wrong.
 */
static int
ask_local (struct cache *c, struct bdev *local, struct blocks b,
           uint64_t start, uint64_t end, struct answer *a)
{
  uint64_t mask = local->info.block_min - 1;
  struct draft d = { .n = 0 };
  uint64_t before, after;
  unsigned i;

  if (local->info.can_extents && ((start | end) & mask) == 0 &&
      sum_dirty (c, b, &before) &&
      bdev_extents (local, end - start, start, 0, note, &d) == 0 &&
      sum_dirty (c, b, &after) && before == after && d.n > 0) {
    for (i = 0; i < d.n; i++)
      if (tell (a, d.e[i].offset, d.e[i].length, d.e[i].type) == -1)
        return -1;
    return 0;
  }
  return tell (a, start, end - start, 0);
}

/* The run of blocks from block on that are all dirty, or all not dirty. */
static struct blocks
same (struct cache *c, uint64_t block, uint64_t end, bool *dirty)
{
  struct blocks b = { block, block + 1 };

  *dirty = state (c, block) & DIRTY;
  if (!*dirty)
    b.end = table_skip (c, b.end, end);
  while (b.end < end && !(state (c, b.end) & DIRTY) == !*dirty) {
    b.end++;
    if (!*dirty)
      b.end = table_skip (c, b.end, end);
  }
  return b;
}

int
cache_extents (struct cache *c, struct bdev *local, uint64_t n,
               uint64_t offset, uint32_t flags, bdev_extent_fn fn,
               void *opaque)
{
  struct answer a = { .pos = offset };
  uint64_t mask = c->origin->info.block_min - 1, end = offset + n, to;
  struct blocks all = touched (c, offset, n), b;
  unsigned questions;
  bool dirty;
  int r;

  if (check_running (c) == -1)
    return -1;
  extents_init (&a.whole, mask + 1, c->size, offset, n, fn, opaque);
  for (questions = 0; a.pos < end && questions < MOST_QUESTIONS;
       questions++) {
    /* Read the words first: when the origin is asked later, it knows the blocks
     * that were written back in between.
     */
    b = same (c, a.pos >> c->shift, all.end, &dirty);
    to = block_end (c, b.end - 1);
    if (to > end)
      to = end;
    a.end = to;
    if (dirty)
      r = ask_local (c, local, b, a.pos, to, &a);
    else if (a.pos & mask)
      /* The block was written back after the local bdev reported only a part of
       * it.
       */
      r = tell (&a, a.pos, (mask + 1) - (a.pos & mask), 0);
    else
      r = bdev_extents (c->origin, to - a.pos, a.pos, flags, tell, &a);
    if (r == -1)
      return -1;
    /* The origin may report less than was asked; with REQ_ONE it does. */
    if (flags & BDEV_REQ_ONE || (!dirty && a.pos < to))
      break;
  }
  return extents_end (&a.whole);
}

/* -------------------------------------------------------------- statistics */

void
count (struct cache *c, enum stat_kind stat_kind, uint64_t n)
{
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine;

  if (mine == 0)
    mine = atomic_fetch_add_explicit (&threads, 1, memory_order_relaxed) %
      SLOTS + 1;
  atomic_fetch_add_explicit (&c->slot[mine - 1].n[stat_kind], n,
                             memory_order_relaxed);
}

static uint64_t
sum (struct cache *c, enum stat_kind stat_kind)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < SLOTS; i++)
    n += atomic_load_explicit (&c->slot[i].n[stat_kind], memory_order_relaxed);
  return n;
}

void
cache_stats (struct cache *c, struct cache_stats *f)
{
  *f = (struct cache_stats) {
    .hits = sum (c, HITS),
    .misses = sum (c, MISSES),
    .hit_bytes = sum (c, HIT_BYTES),
    .miss_bytes = sum (c, MISS_BYTES),
    .fetched_bytes = sum (c, FETCHED),
    .ahead_bytes = sum (c, AHEAD_FETCHED),
    .ahead_used_bytes = sum (c, AHEAD_USED),
    .writes = sum (c, WRITES),
    .written_bytes = sum (c, WRITTEN),
    .writeback_bytes = sum (c, WRITTEN_BACK),
    .evicted_bytes = sum (c, EVICTED),
    .uncached_bytes = sum (c, UNCACHED),
    .origin_errors = sum (c, ORIGIN_ERRORS),
    .local_errors = sum (c, LOCAL_ERRORS),
    .cached_bytes = atomic_load (&c->cached) << c->shift,
    .dirty_bytes = atomic_load (&c->dirty) << c->shift,
  };
}

/* ---------------------------------------------------------------- check */

static void
broken (const char *what, uint64_t a, uint64_t b)
{
  fprintf (stderr, "cache: %s: %llu, %llu\n", what, (unsigned long long) a,
           (unsigned long long) b);
  abort ();
}

void
cache_check (struct cache *c)
{
  struct blocks all = { 0, c->blocks };
  uint64_t valid = 0, dirty = 0, b;
  struct range range;
  struct leaf *l;
  uint32_t i;

  /* Any thread that would change VALID or DIRTY now waits. */
  lock_blocks (c, &range, all);
  for (l = atomic_load (&c->leaves); l; l = l->next) {
    uint32_t here = 0;

    for (i = 0; i < LEAF_WORDS; i++) {
      uint32_t w = atomic_load (&l->word[i]);

      b = l->first + i;
      if ((w & (VALID | DIRTY)) == DIRTY)
        broken ("a block is dirty and not valid", b, w);
      if ((w & (DIRTY | LOST)) == LOST)
        broken ("a block is lost and not dirty", b, w);
      if ((w & (DIRTY | QUEUED | WRITING)) == DIRTY)
        broken ("C4: a dirty block is not in the queue", b, w);
      here += w & VALID;
      dirty += !!(w & DIRTY);
    }
    if (here != atomic_load (&l->valid))
      broken ("a leaf's count is wrong", here, atomic_load (&l->valid));
    valid += here;
  }
  /* Waiting threads may have room already. */
  if (valid > atomic_load (&c->cached))
    broken ("more is cached than counted", valid, atomic_load (&c->cached));
  if (c->max && atomic_load (&c->cached) > c->max)
    broken ("C6: more is cached than may be", atomic_load (&c->cached), c->max);
  if (dirty > atomic_load (&c->dirty) || dirty > c->dirty_max)
    broken ("C6: more is dirty than may be, or counted", dirty,
            atomic_load (&c->dirty));
  ranges_unlock (&c->ranges, &range);
}
