/* SPDX-License-Identifier: BSD-3-Clause */
/* What is cached: the words of the blocks, and the clock that evicts. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/cache-private.h"

/* The seqlock between a read without a lock and C3.  A thread that forgets a
 * block changes the word before the bytes.  A thread that reads the bytes
 * checks the word after them.  ThreadSanitizer does not know fences; under it
 * the bdevs' own locks take their place.
 */
static inline void
fence (void)
{
#if !defined(__SANITIZE_THREAD__)
  atomic_thread_fence (memory_order_seq_cst);
#endif
}

/* Runs of this many blocks are evicted together, to make the trim worthwhile.
 */
#define EVICT_RUN 64

int
table_init (struct cache *c)
{
  uint64_t leaves = ((c->blocks - 1) >> LEAF_SHIFT) + 1;
  void *p;

  mutex_init (&c->grow_lock);
  mutex_init (&c->clock_lock);
  /* 128 KiB for a TiB.  Unused parts never get a page. */
  c->directory_bytes = leaves * sizeof *c->directory;
  p = mmap (NULL, c->directory_bytes, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    mutex_destroy (&c->grow_lock);
    mutex_destroy (&c->clock_lock);
    return -1;
  }
  c->directory = p;
  return 0;
}

void
table_free (struct cache *c)
{
  struct leaf *l = atomic_load_explicit (&c->leaves, memory_order_relaxed);

  while (l) {
    struct leaf *next = l->next;

    free (l);
    l = next;
  }
  munmap (c->directory, c->directory_bytes);
  mutex_destroy (&c->grow_lock);
  mutex_destroy (&c->clock_lock);
}

static struct leaf *
leaf_of (struct cache *c, uint64_t block)
{
  /* Pairs with the store in table_make_word: the leaf is whole. */
  return atomic_load_explicit (&c->directory[block >> LEAF_SHIFT],
                               memory_order_acquire);
}

_Atomic uint32_t *
table_word (struct cache *c, uint64_t block)
{
  struct leaf *l = leaf_of (c, block);

  return l ? &l->word[block & (LEAF_WORDS - 1)] : NULL;
}

_Atomic uint32_t *
table_make_word (struct cache *c, uint64_t block)
{
  struct leaf *l = leaf_of (c, block);

  if (l == NULL) {
    mutex_lock (&c->grow_lock);
    l = leaf_of (c, block);
    if (l == NULL) {
      l = calloc (1, sizeof *l);
      if (l) {
        l->first = block & ~(uint64_t) (LEAF_WORDS - 1);
        l->next = atomic_load_explicit (&c->leaves, memory_order_relaxed);
        /* Both pair with the loads of threads that walk without the lock. */
        atomic_store_explicit (&c->leaves, l, memory_order_release);
        atomic_store_explicit (&c->directory[block >> LEAF_SHIFT], l,
                               memory_order_release);
      }
    }
    mutex_unlock (&c->grow_lock);
    if (l == NULL)
      return NULL;
  }
  return &l->word[block & (LEAF_WORDS - 1)];
}

uint64_t
table_skip (struct cache *c, uint64_t block, uint64_t end)
{
  while (block < end && leaf_of (c, block) == NULL)
    block = (block | (LEAF_WORDS - 1)) + 1;
  return block < end ? block : end;
}

void
table_set_valid (struct cache *c, uint64_t block, uint32_t bits)
{
  struct leaf *l = leaf_of (c, block);
  uint32_t old = atomic_fetch_or_explicit (&l->word[block & (LEAF_WORDS - 1)],
                                           VALID | bits,
                                           memory_order_release);

  if (!(old & VALID))
    atomic_fetch_add_explicit (&l->valid, 1, memory_order_relaxed);
}

void
table_clean (struct cache *c, uint64_t block)
{
  _Atomic uint32_t *w = table_word (c, block);

  if (w && atomic_fetch_and_explicit (w, ~(DIRTY | LOST),
                                      memory_order_relaxed) & DIRTY)
    dirty_give (c, 1);
}

void
table_found (struct cache *c, uint64_t block)
{
  _Atomic uint32_t *w = table_word (c, block);

  if (w && atomic_load_explicit (w, memory_order_relaxed) & LOST)
    atomic_fetch_and_explicit (w, ~LOST, memory_order_relaxed);
}

void
table_lose (struct cache *c, uint64_t block)
{
  while ((block = table_skip (c, block, c->blocks)) < c->blocks) {
    if (state (c, block) & DIRTY) {
      atomic_store_explicit (&c->lost, true, memory_order_relaxed);
      atomic_fetch_or_explicit (table_word (c, block), LOST,
                                memory_order_relaxed);
    }
    block++;
  }
}

/* Make one block ABSENT, if it is VALID. */
static bool
forget (struct cache *c, uint64_t block, bool keep_dirty)
{
  struct leaf *l = leaf_of (c, block);
  _Atomic uint32_t *w = l ? &l->word[block & (LEAF_WORDS - 1)] : NULL;
  uint32_t old, new;

  if (w == NULL)
    return false;
  old = atomic_load_explicit (w, memory_order_relaxed);
  do {
    if (!(old & VALID) || (keep_dirty && old & DIRTY))
      return false;
    new = (old + GENERATION) & ~(VALID | DIRTY | USED | AHEAD | LOST);
  } while (!atomic_compare_exchange_weak (w, &old, new));
  atomic_fetch_sub_explicit (&l->valid, 1, memory_order_relaxed);
  room_give (c, 1);
  if (old & DIRTY)
    dirty_give (c, 1);
  return true;
}

void
table_forget (struct cache *c, struct bdev *local, uint64_t block,
              uint64_t end, bool keep_dirty)
{
  while ((block = table_skip (c, block, end)) < end) {
    struct blocks run = { block, block };

    while (run.end < end && run.end - run.first < most_blocks (c) &&
           forget (c, run.end, keep_dirty))
      run.end++;
    if (run.end > run.first) {
      fence ();
      local_drop (c, local, run);
      block = run.end;
    }
    else
      block++;
  }
}

void
table_forget_all (struct cache *c, struct bdev *local)
{
  struct leaf *l = atomic_load_explicit (&c->leaves, memory_order_acquire);
  uint64_t end;

  for (; l; l = l->next) {
    end = l->first + LEAF_WORDS;
    table_forget (c, local, l->first, end < c->blocks ? end : c->blocks, true);
  }
}

/* ----------------------------------------------------------------- room */

void
room_give (struct cache *c, uint64_t n)
{
  if (n)
    atomic_fetch_sub_explicit (&c->cached, n, memory_order_relaxed);
}

bool
room_take (struct cache *c, struct bdev *local, uint64_t n)
{
  uint64_t old = atomic_load_explicit (&c->cached, memory_order_relaxed);

  if (c->max == 0) {
    atomic_fetch_add_explicit (&c->cached, n, memory_order_relaxed);
    return true;
  }
  /* A request that would evict most of the cache is not worth caching. */
  if (n > c->max / 2)
    return false;
  for (;;) {
    if (old + n <= c->max) {
      if (atomic_compare_exchange_weak (&c->cached, &old, old + n))
        return true;
    }
    else {
      /* Evict some more, so that the next request need not. */
      if (evict (c, local, old + n - c->max + EVICT_RUN) == 0)
        return false;
      old = atomic_load_explicit (&c->cached, memory_order_relaxed);
    }
  }
}

/* ------------------------------------------------------------- eviction */

/* Move on from the hand to the next evictable block, and evict a run of at most
 * n blocks from there.
 */
static uint64_t
evict_run (struct cache *c, struct bdev *local, uint64_t n)
  REQUIRES (&c->clock_lock)
{
  struct leaf *l = c->hand;
  struct range range;
  struct blocks run;
  uint32_t i = c->hand_word, first, w;
  uint64_t done = 0;

  for (; i < LEAF_WORDS; i++) {
    w = atomic_load_explicit (&l->word[i], memory_order_relaxed);
    if ((w & (VALID | USED | DIRTY | WRITING)) == VALID)
      break;
    if (w & USED)
      atomic_fetch_and_explicit (&l->word[i], ~USED, memory_order_relaxed);
  }
  for (first = i; i < LEAF_WORDS && i - first < n; i++) {
    w = atomic_load_explicit (&l->word[i], memory_order_relaxed);
    if ((w & (VALID | USED | DIRTY | WRITING)) != VALID)
      break;
  }
  c->hand_word = i;
  if (i == first)
    return 0;

  run = (struct blocks) { l->first + first, l->first + i };
  /* Another thread may hold these and wait for room itself. */
  if (ranges_try_lock (&c->ranges, &range, run.first << c->shift,
                       (run.end - run.first) << c->shift, RANGE_EXCLUSIVE)) {
    uint64_t b;

    /* Under the lock, none of these blocks becomes VALID. */
    for (b = run.first; b < run.end; b++)
      done += (state (c, b) & (VALID | DIRTY)) == VALID;
    table_forget (c, local, run.first, run.end, true);
    ranges_unlock (&c->ranges, &range);
  }
  return done;
}

uint64_t
evict (struct cache *c, struct bdev *local, uint64_t n)
{
  uint64_t done = 0;
  unsigned rounds = 0;

  mutex_lock (&c->clock_lock);
  /* The first round is not a whole one.  The second finds the blocks that the
   * first spared because they were USED.  The third finds those before the
   * hand.
   */
  while (done < n && rounds < 3) {
    if (c->hand == NULL) {
      rounds++;
      c->hand = atomic_load_explicit (&c->leaves, memory_order_acquire);
      c->hand_word = 0;
      if (c->hand == NULL)
        break;
    }
    if (c->hand_word == LEAF_WORDS ||
        atomic_load_explicit (&c->hand->valid, memory_order_relaxed) == 0) {
      c->hand = c->hand->next;
      c->hand_word = 0;
      continue;
    }
    done += evict_run (c, local,
                       n - done < EVICT_RUN ? n - done : EVICT_RUN);
  }
  mutex_unlock (&c->clock_lock);
  count (c, EVICTED, done << c->shift);
  return done;
}
