/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache: its life, flush, block status and figures; cache.h says how it
 * works.
 */

#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache-private.h"
#include "message.h"

/* A block of the table is at least a page. */
#define LEAST_BLOCK 4096u
/* ... and not more than is written back at once. */
#define MOST_BLOCK RUN_BYTES

static_assert (CACHE_LEAST >= 4 * MOST_BLOCK, "a limit is some blocks");
static_assert ((CHUNK & (CHUNK - 1)) == 0 && CHUNK >= MOST_BLOCK,
               "a chunk is whole blocks");

/* ----------------------------------------------------------------- life */

bool
cache_can_be (const struct side_info *local, const struct side_info *origin,
              char **why)
{
  uint64_t mask = local->block_min - 1;

  if (local->size < origin->size ||
      local->size - origin->size < ((origin->size + mask) & ~mask) -
      origin->size)
    *why = message ("the plugin has %llu bytes, but the upstream has %llu: the "
                    "cache must be as large as what it caches",
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
  /* Eviction needs something clean. */
  if (c->max && c->dirty_max > c->max / 2)
    c->dirty_max = c->max / 2;
  c->run = RUN_BYTES >> c->shift;

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
  if (r == 0)
    r = origin_flush (c, c->origin);
  err = errno;
  workers_end (c);
  errno = err;
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
cache_client_init (struct cache_client *client, struct side *origin)
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
cache_flush (struct cache *c, struct cache_client *client, struct side *local)
{
  if (atomic_load_explicit (&c->stopped, memory_order_relaxed)) {
    errno = ESHUTDOWN;
    return -1;
  }
  if (c->o.writeback && write_back_all (c, local) == -1)
    return -1;
  return origin_flush (c, client->origin);
}

/* --------------------------------------------------------- block status */

/* One answer is made of so many questions at most. */
#define MOST_QUESTIONS 64

/* What a side says of some bytes. */
struct answer {
  side_extent_fn fn;
  void *opaque;
  uint64_t pos;                 /* the end of what has been told */
};

static int
tell (void *opaque, uint64_t offset, uint64_t length, uint32_t type)
{
  struct answer *a = opaque;

  a->pos = offset + length;
  return a->fn (a->opaque, offset, length, type);
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

/* The sum of the words of blocks that are DIRTY; false if one is not. */
static bool
sum_dirty (struct cache *c, struct blocks b, uint64_t *sum)
{
  uint64_t i;

  *sum = 0;
  for (i = b.first; i < b.end; i++) {
    uint32_t w = state (c, i);

    if (!(w & DIRTY))
      return false;
    *sum += w & IDENTITY;
  }
  return true;
}

/* Only the local side knows of dirty blocks; what it says is true if they were
 * dirty all the time.  "Data" is never wrong.
 */
static int
ask_local (struct cache *c, struct side *local, struct blocks b,
           uint64_t start, uint64_t end, struct answer *a)
{
  uint64_t mask = local->info.block_min - 1;
  struct draft d = { .n = 0 };
  uint64_t before, after;
  unsigned i;

  if (local->info.can_extents && ((start | end) & mask) == 0 &&
      sum_dirty (c, b, &before) &&
      side_extents (local, end - start, start, 0, note, &d) == 0 &&
      sum_dirty (c, b, &after) && before == after && d.n > 0) {
    for (i = 0; i < d.n; i++)
      if (tell (a, d.e[i].offset, d.e[i].length, d.e[i].type) == -1)
        return -1;
    return 0;
  }
  return tell (a, start, end - start, 0);
}

/* The blocks from block on that are dirty, or that are not. */
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
cache_extents (struct cache *c, struct side *local, uint32_t n,
               uint64_t offset, uint32_t flags, side_extent_fn fn,
               void *opaque)
{
  struct answer a = { .fn = fn, .opaque = opaque, .pos = offset };
  uint64_t end = offset + n, to;
  struct blocks all = touched (c, offset, n), b;
  unsigned questions;
  bool dirty;
  int r;

  if (atomic_load_explicit (&c->stopped, memory_order_relaxed)) {
    errno = ESHUTDOWN;
    return -1;
  }
  for (questions = 0; a.pos < end && questions < MOST_QUESTIONS;
       questions++) {
    /* The words come first: what is written back after this the origin knows
     * when it is asked.
     */
    b = same (c, a.pos >> c->shift, all.end, &dirty);
    to = block_end (c, b.end - 1);
    if (to > end)
      to = end;
    if (dirty)
      r = ask_local (c, local, b, a.pos, to, &a);
    else
      r = side_extents (c->origin, to - a.pos, a.pos, flags, tell, &a);
    if (r == -1)
      return -1;
    /* The origin may say less than was asked, and with REQ_ONE it does. */
    if (flags & SIDE_REQ_ONE || (!dirty && a.pos < to))
      break;
  }
  return 0;
}

/* -------------------------------------------------------------- figures */

void
count (struct cache *c, enum figure figure, uint64_t n)
{
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine;

  if (mine == 0)
    mine = atomic_fetch_add_explicit (&threads, 1, memory_order_relaxed) %
      SLOTS + 1;
  atomic_fetch_add_explicit (&c->slot[mine - 1].n[figure], n,
                             memory_order_relaxed);
}

static uint64_t
sum (struct cache *c, enum figure figure)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < SLOTS; i++)
    n += atomic_load_explicit (&c->slot[i].n[figure], memory_order_relaxed);
  return n;
}

void
cache_figures (struct cache *c, struct cache_figures *f)
{
  *f = (struct cache_figures) {
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

  /* Whoever would change VALID or DIRTY now waits. */
  lock_blocks (c, &range, all);
  for (l = atomic_load (&c->leaves); l; l = l->next) {
    uint32_t here = 0;

    for (i = 0; i < LEAF_WORDS; i++) {
      uint32_t w = atomic_load (&l->word[i]);

      b = l->first + i;
      if ((w & (VALID | DIRTY)) == DIRTY)
        broken ("a block is dirty and not valid", b, w);
      if ((w & (DIRTY | QUEUED | WRITING)) == DIRTY)
        broken ("C4: a dirty block is not in the queue", b, w);
      here += w & VALID;
      dirty += !!(w & DIRTY);
    }
    if (here != atomic_load (&l->valid))
      broken ("a leaf's count is wrong", here, atomic_load (&l->valid));
    valid += here;
  }
  /* Those who wait may have room already. */
  if (valid > atomic_load (&c->cached))
    broken ("more is cached than counted", valid, atomic_load (&c->cached));
  if (c->max && atomic_load (&c->cached) > c->max)
    broken ("C6: more is cached than may be", atomic_load (&c->cached), c->max);
  if (dirty > atomic_load (&c->dirty) || dirty > c->dirty_max)
    broken ("C6: more is dirty than may be, or counted", dirty,
            atomic_load (&c->dirty));
  ranges_unlock (&c->ranges, &range);
}
