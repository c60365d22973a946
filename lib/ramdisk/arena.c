/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: all the memory of all disks.  arena.h has the design. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "arena.h"
#include "mutex.h"
#include "node.h"
#include "rcu.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION (p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION (p, n)
#else
#define POISON(p, n) ((void) (p), (void) (n))
#define UNPOISON(p, n) ((void) (p), (void) (n))
#endif

#ifndef MADV_POPULATE_WRITE     /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED    /* Linux 5.18 */
#define MADV_DONTNEED_LOCKED 24
#endif

/* One huge page of x86-64 and of arm64 with 4 KiB pages. */
#define CHUNK_BYTES (UINT64_C (2) << 20)
#define CHUNK_PAGES ((unsigned) (CHUNK_BYTES / PAGE_BYTES))
#define CHUNK_WORDS (CHUNK_PAGES / 64)
static_assert (CHUNK_PAGES % 64 == 0, "bitmaps are of 64-bit words");

/* A cache holds the free pages of one bitmap word. */
#define CACHE_PAGES 64

/* Room for 1024 threads with a full cache each (A5); later ones take single
 * pages.  Only address space, 256 MiB.
 */
#define SLACK_PAGES (1024 * CACHE_PAGES)

/* Below this many chunks in use (128 MiB) memory is touched page by page, so
 * that a small disk takes no more than it needs; above it the rest of a huge
 * page is less than 2 % of the whole.
 */
#define HUGE_AFTER_CHUNKS 64

/* How many threads may populate a chunk at the same time.  More would have
 * more memory in hand than anyone asked for.
 */
#define MOST_POPULATING 2

/* How many retired references may wait (512 KiB of ring).  Who finds it full
 * waits for the grace period himself.
 */
#define LIMBO_ENTRIES (UINT64_C (64) << 10)

/* How many pages are put on the bitmaps with the lock taken once. */
#define FREE_BATCH 256

/* The reclaimer lets references gather this long before it starts a grace
 * period, and looks this often whether free memory is still wanted.
 */
#define GATHER_NS (1000 * 1000)
#define TICK_NS (100 * 1000 * 1000)

/* Free memory that is always kept: 1 MiB. */
#define KEEP_PAGES 256

#define NIL UINT32_MAX

/* The lists a chunk may be on.  A chunk without free pages is on none. */
enum list {
  DIRTY,                        /* has free pages that are dirty */
  CLEAN,                        /* has free pages, all of them clean */
  COLD,                         /* all pages are free and clean */
  NLISTS,
  NONE = NLISTS
};

struct chunk {
  uint64_t free[CHUNK_WORDS];
  uint64_t dirty[CHUNK_WORDS];  /* says something about free pages only */
  uint32_t prev, next;
  uint16_t nfree;
  uint16_t ndirty;              /* pages both free and dirty */
  uint8_t list;                 /* enum list */
};

/* Free pages that one thread holds; only that thread looks inside. */
struct cache {
  struct arena_private *arena;
  page_t base;                  /* page of bit 0 */
  uint64_t free;
  uint64_t dirty;
  bool granted;                 /* counted in arena_private.granted */
  struct cache *prev, *next;    /* in arena_private.caches, under its lock */
};

struct arena_private {
  struct arena a;
  uint64_t limit;               /* pages */
  _Atomic int64_t credit;       /* pages; < 0 while overdrawn */

  struct mutex lock;
  struct chunk *chunk;          /* nchunks of them, mapped on demand */
  uint32_t nchunks;
  uint32_t top GUARDED_BY (lock);         /* chunks below it have been used */
  uint32_t head[NLISTS] GUARDED_BY (lock);
  uint32_t tail[NLISTS] GUARDED_BY (lock);
  uint32_t warm GUARDED_BY (lock);        /* chunks that are not cold */
  uint64_t free_dirty GUARDED_BY (lock);  /* pages */
  uint64_t reused GUARDED_BY (lock);      /* dirty pages taken since the tick */
  uint64_t keep GUARDED_BY (lock);        /* pages, see tidy_up */
  uint64_t granted GUARDED_BY (lock);     /* CACHE_PAGES for each full cache */
  unsigned populating GUARDED_BY (lock);  /* threads in warm_up */
  unsigned moving GUARDED_BY (lock);      /* of these and in give_back_chunk */
  pthread_cond_t moved;                   /* one of them is done */
  struct cache *caches GUARDED_BY (lock);
  pthread_key_t cache_key;

  struct mutex limbo_lock;
  pthread_cond_t limbo_cond;
  uint64_t *limbo;                              /* ring */
  uint64_t limbo_head GUARDED_BY (limbo_lock);  /* next to be filled */
  uint64_t limbo_tail GUARDED_BY (limbo_lock);  /* next to be freed */
  bool stop GUARDED_BY (limbo_lock);
  bool tidy GUARDED_BY (limbo_lock);            /* perhaps too much is free */

  /* Held while references are counted down and memory is given back: who gets
   * it knows that nothing is half way.
   */
  struct mutex reclaim_lock;
  _Atomic uint64_t grace_periods;
  bool started;
  pthread_t thread;
};

/* ---------------------------------------------------------------- chunks */

static size_t
range_len (const struct arena_private *p)
{
  return p->nchunks * CHUNK_BYTES;
}

static void
list_remove (struct arena_private *p, uint32_t c) REQUIRES (p->lock)
{
  struct chunk *ch = &p->chunk[c];

  if (ch->list == NONE)
    return;
  if (ch->prev != NIL)
    p->chunk[ch->prev].next = ch->next;
  else
    p->head[ch->list] = ch->next;
  if (ch->next != NIL)
    p->chunk[ch->next].prev = ch->prev;
  else
    p->tail[ch->list] = ch->prev;
  ch->list = NONE;
}

static void
list_insert (struct arena_private *p, uint32_t c, enum list list, bool at_end)
  REQUIRES (p->lock)
{
  struct chunk *ch = &p->chunk[c];

  ch->list = list;
  ch->prev = at_end ? p->tail[list] : NIL;
  ch->next = at_end ? NIL : p->head[list];
  if (ch->prev != NIL)
    p->chunk[ch->prev].next = c;
  else
    p->head[list] = c;
  if (ch->next != NIL)
    p->chunk[ch->next].prev = c;
  else
    p->tail[list] = c;
}

/* Put a chunk on the list where its counts say it belongs.  Chunks that are
 * free as a whole go to the end, where the reclaimer takes them and allocation
 * comes last.
 */
static void
chunk_file (struct arena_private *p, uint32_t c) REQUIRES (p->lock)
{
  struct chunk *ch = &p->chunk[c];
  bool empty = ch->nfree == CHUNK_PAGES;
  enum list want =
    ch->nfree == 0 ? NONE : ch->ndirty > 0 ? DIRTY : empty ? COLD : CLEAN;

  if (ch->list == want && !empty)
    return;
  list_remove (p, c);
  if (want != NONE)
    list_insert (p, c, want, empty);
  if (want == COLD)
    p->warm--;
}

/* Take the pages mask of word w out of a chunk.  Returns which were dirty. */
static uint64_t
chunk_take (struct arena_private *p, uint32_t c, unsigned w, uint64_t mask)
  REQUIRES (p->lock)
{
  struct chunk *ch = &p->chunk[c];
  uint64_t dirty = ch->dirty[w] & mask;
  unsigned n = __builtin_popcountll (dirty);

  assert ((ch->free[w] & mask) == mask);
  ch->free[w] &= ~mask;
  ch->dirty[w] &= ~mask;
  ch->nfree -= __builtin_popcountll (mask);
  ch->ndirty -= n;
  p->free_dirty -= n;
  chunk_file (p, c);
  return dirty;
}

static void
chunk_put (struct arena_private *p, uint32_t c, unsigned w, uint64_t mask,
           uint64_t dirty) REQUIRES (p->lock)
{
  struct chunk *ch = &p->chunk[c];
  unsigned n = __builtin_popcountll (dirty);

  assert ((ch->free[w] & mask) == 0 && (dirty & ~mask) == 0);
  ch->free[w] |= mask;
  ch->dirty[w] |= dirty;
  ch->nfree += __builtin_popcountll (mask);
  ch->ndirty += n;
  p->free_dirty += n;
  chunk_file (p, c);
}

static void
put_pages (struct arena_private *p, page_t base, uint64_t mask, uint64_t dirty)
  REQUIRES (p->lock)
{
  if (mask)
    chunk_put (p, base / CHUNK_PAGES, base % CHUNK_PAGES / 64, mask, dirty);
}

static char *
chunk_addr (struct arena_private *p, uint32_t c)
{
  return p->a.base + c * CHUNK_BYTES;
}

/* Populate a chunk with one huge page, if the system has one.
 *
 * The arena as a whole is MADV_NOHUGEPAGE: else khugepaged would some day make
 * huge pages again of chunks whose free pages were given back, and the memory
 * would grow behind our back.  The flag only matters at the fault.  The two
 * changes split the mapping and join it again.
 */
static void
chunk_populate_huge (struct arena_private *p, uint32_t c)
{
  char *addr = chunk_addr (p, c);

  if (madvise (addr, CHUNK_BYTES, MADV_HUGEPAGE) == 0) {
    /* An error only means that the pages come one by one, when touched. */
    (void) madvise (addr, CHUNK_BYTES, MADV_POPULATE_WRITE);
    (void) madvise (addr, CHUNK_BYTES, MADV_NOHUGEPAGE);
  }
}

/* A chunk is out of everybody's reach, or back.  Who finds no free page in the
 * meantime waits, so that A5 holds: while there is credit there is one.
 */
static void
move_begins (struct arena_private *p) REQUIRES (p->lock)
{
  p->moving++;
}

static void
move_ends (struct arena_private *p) REQUIRES (p->lock)
{
  p->moving--;
  pthread_cond_broadcast (&p->moved);
}

/* A chunk that was never used. */
static uint32_t
new_chunk (struct arena_private *p) REQUIRES (p->lock)
{
  uint32_t c = p->top++;
  struct chunk *ch = &p->chunk[c];

  memset (ch->free, 0xff, sizeof ch->free);
  ch->nfree = CHUNK_PAGES;
  ch->list = NONE;
  if (c == 0) {                 /* PAGE_HOLE and PAGE_ZERO are no pages */
    ch->free[0] &= ~UINT64_C (3);
    ch->nfree -= PAGE_FIRST;
  }
  return c;
}

/* Make one more chunk available, or wait until another thread has; the caller
 * looks again.  Drops the lock meanwhile.  Returns false if the whole range is
 * in use.
 */
static bool
warm_up (struct arena_private *p) REQUIRES (p->lock)
{
  bool left = p->head[COLD] != NIL || p->top < p->nchunks;
  uint32_t c;

  if (left ? p->populating >= MOST_POPULATING : p->moving > 0) {
    pthread_cond_wait (&p->moved, &p->lock.m);
    return true;
  }
  if (!left)
    return false;

  c = p->head[COLD];
  if (c != NIL)
    list_remove (p, c);
  else
    c = new_chunk (p);
  if (p->warm++ >= HUGE_AFTER_CHUNKS) {
    p->populating++;
    move_begins (p);
    mutex_unlock (&p->lock);
    chunk_populate_huge (p, c);
    mutex_lock (&p->lock);
    p->populating--;
    move_ends (p);
  }
  list_insert (p, c, CLEAN, false);
  return true;
}

/* Take free pages of one bitmap word: all of it, or only one page. */
static uint64_t
take_word (struct arena_private *p, bool one, page_t *base, uint64_t *dirty)
  REQUIRES (p->lock)
{
  uint32_t c;
  unsigned w;
  uint64_t mask;

  do {
    c = p->head[DIRTY] != NIL ? p->head[DIRTY] : p->head[CLEAN];
  } while (c == NIL && warm_up (p));
  if (c == NIL)
    return 0;

  for (w = 0; p->chunk[c].free[w] == 0; w++)
    assert (w + 1 < CHUNK_WORDS);
  mask = p->chunk[c].free[w];
  if (one)
    mask &= -mask;
  *base = c * CHUNK_PAGES + w * 64;
  *dirty = chunk_take (p, c, w, mask);
  p->reused += __builtin_popcountll (*dirty);
  return mask;
}

/* ---------------------------------------------------------------- caches */

static void
cache_drop (struct arena_private *p, struct cache *cache) REQUIRES (p->lock)
{
  put_pages (p, cache->base, cache->free, cache->dirty);
  if (cache->granted)
    p->granted -= CACHE_PAGES;
  if (cache->prev)
    cache->prev->next = cache->next;
  else
    p->caches = cache->next;
  if (cache->next)
    cache->next->prev = cache->prev;
}

/* Runs when a thread ends. */
static void
cache_destructor (void *vp)
{
  struct cache *cache = vp;
  struct arena_private *p = cache->arena;

  mutex_lock (&p->lock);
  cache_drop (p, cache);
  mutex_unlock (&p->lock);
  mutex_lock (&p->limbo_lock);
  if (!p->tidy) {
    p->tidy = true;
    pthread_cond_signal (&p->limbo_cond);
  }
  mutex_unlock (&p->limbo_lock);
  free (cache);
}

/* This thread's cache; NULL if there is no memory for one. */
static struct cache *
cache_get (struct arena_private *p)
{
  struct cache *cache = pthread_getspecific (p->cache_key);

  if (__builtin_expect (cache != NULL, true))
    return cache;
  cache = calloc (1, sizeof *cache);
  if (cache == NULL)
    return NULL;
  cache->arena = p;
  if (pthread_setspecific (p->cache_key, cache)) {
    free (cache);
    return NULL;
  }
  mutex_lock (&p->lock);
  cache->next = p->caches;
  if (cache->next)
    cache->next->prev = cache;
  p->caches = cache;
  mutex_unlock (&p->lock);
  return cache;
}

/* Fill an empty cache.  A cache may only hold more than it is about to use if
 * that was granted, so that A5 holds with any number of threads.
 */
static bool
cache_fill (struct arena_private *p, struct cache *cache)
{
  mutex_lock (&p->lock);
  if (!cache->granted && p->granted + CACHE_PAGES <= SLACK_PAGES) {
    cache->granted = true;
    p->granted += CACHE_PAGES;
  }
  cache->free = take_word (p, !cache->granted, &cache->base, &cache->dirty);
  mutex_unlock (&p->lock);
  return cache->free != 0;
}

/* ------------------------------------------------------- reserve and alloc */

static bool
try_reserve (struct arena_private *p, int64_t n, int64_t floor)
{
  int64_t c = atomic_load_explicit (&p->credit, memory_order_relaxed);

  do {
    if (c < floor + n)
      return false;
  } while (!atomic_compare_exchange_weak_explicit (&p->credit, &c, c - n,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed));
  return true;
}

int
arena_reserve (struct arena *a, uint64_t n, bool overdraft)
{
  struct arena_private *p = a->priv;
  int64_t floor = overdraft ? -ARENA_OVERDRAFT_PAGES : 0;

  if (n == 0)
    return 0;
  if (n <= p->limit + ARENA_OVERDRAFT_PAGES) {
    if (try_reserve (p, n, floor))
      return 0;
    arena_reclaim (a);
    if (try_reserve (p, n, floor))
      return 0;
  }
  errno = ENOSPC;
  return -1;
}

void
arena_unreserve (struct arena *a, uint64_t n)
{
  if (n)
    atomic_fetch_add_explicit (&a->priv->credit, (int64_t) n,
                               memory_order_relaxed);
}

unsigned
arena_alloc (struct arena *a, unsigned n, bool zeroed, page_t *pages)
{
  struct arena_private *p = a->priv;
  struct cache *cache = cache_get (p), single = { .arena = p };
  unsigned i;

  if (cache == NULL)
    cache = &single;            /* holds nothing between calls: not granted */

  for (i = 0; i < n; i++) {
    unsigned bit;
    page_t page;
    bool dirty;

    if (cache->free == 0) {
      if (cache == &single) {
        mutex_lock (&p->lock);
        single.free = take_word (p, true, &single.base, &single.dirty);
        mutex_unlock (&p->lock);
      }
      else
        cache_fill (p, cache);
      if (cache->free == 0)
        break;
    }
    bit = __builtin_ctzll (cache->free);
    page = cache->base + bit;
    dirty = cache->dirty >> bit & 1;
    cache->free &= cache->free - 1;
    cache->dirty &= ~(UINT64_C (1) << bit);

    UNPOISON (arena_addr (a, page), PAGE_BYTES);
    if (zeroed && dirty)
      memset (arena_addr (a, page), 0, PAGE_BYTES);
    assert (atomic_load_explicit (&a->refs[page], memory_order_relaxed) == 0);
    atomic_store_explicit (&a->refs[page], 1, memory_order_relaxed);
    pages[i] = page;
  }
  return i;
}

void
arena_free_unlinked (struct arena *a, page_t page)
{
  struct arena_private *p = a->priv;
  struct cache *cache = cache_get (p);
  page_t base = page & ~63u;
  uint64_t mask = UINT64_C (1) << (page & 63);

  assert (arena_refs (a, page) == 1);
  atomic_store_explicit (&a->refs[page], 0, memory_order_relaxed);
  POISON (arena_addr (a, page), PAGE_BYTES);

  if (cache && cache->granted && (cache->free == 0 || cache->base == base)) {
    cache->base = base;
    cache->free |= mask;
    cache->dirty |= mask;
    return;
  }
  mutex_lock (&p->lock);
  put_pages (p, base, mask, mask);
  mutex_unlock (&p->lock);
}

/* --------------------------------------------------------- reclamation */

struct free_batch {
  struct arena_private *p;
  unsigned n;
  page_t page[FREE_BATCH];
};

static void
free_batch_flush (struct free_batch *b)
{
  struct arena_private *p = b->p;
  unsigned i;

  mutex_lock (&p->lock);
  for (i = 0; i < b->n; ) {
    /* Neighbours are often freed together; do them in one step. */
    page_t base = b->page[i] & ~63u;
    uint64_t mask = 0;

    for (; i < b->n && (b->page[i] & ~63u) == base; i++)
      mask |= UINT64_C (1) << (b->page[i] & 63);
    put_pages (p, base, mask, mask);
  }
  mutex_unlock (&p->lock);
  arena_unreserve (&p->a, b->n);
  b->n = 0;
}

/* Count one reference down; free the page, and what it refers to, at 0.
 *
 * Only references that are counted can lead to a page.  If ours is the only
 * one left nobody else can raise the count any more, so no atomic
 * read-modify-write is needed; most pages go this way.
 */
static void
put_ref (struct free_batch *b, page_t page, unsigned level)
{
  struct arena *a = &b->p->a;

  STRESS_POINT ();
  if (arena_refs (a, page) == 1)
    atomic_store_explicit (&a->refs[page], 0, memory_order_relaxed);
  else if (atomic_fetch_sub_explicit (&a->refs[page], 1,
                                      memory_order_acq_rel) != 1)
    return;

  if (level > 0) {
    struct node *node = node_at (a, page);
    unsigned i;

    for (i = 0; i < NODE_SLOTS; i++) {
      page_t child = atomic_load_explicit (&node->slot[i],
                                           memory_order_relaxed);
      if (child >= PAGE_FIRST)
        put_ref (b, child, level - 1);
    }
  }
  POISON (arena_addr (a, page), PAGE_BYTES);
  b->page[b->n++] = page;
  if (b->n == FREE_BATCH)
    free_batch_flush (b);
}

static void
reclaim_locked (struct arena_private *p) REQUIRES (p->reclaim_lock)
{
  struct free_batch b = { .p = p };
  uint64_t i, head, tail;

  mutex_lock (&p->limbo_lock);
  head = p->limbo_head;
  tail = p->limbo_tail;
  mutex_unlock (&p->limbo_lock);
  if (head == tail)
    return;

  rcu_grace_period ();
  atomic_fetch_add_explicit (&p->grace_periods, 1, memory_order_relaxed);

  /* Entries between tail and head are not written until tail moves. */
  for (i = tail; i < head; i++) {
    uint64_t ref = p->limbo[i % LIMBO_ENTRIES];

    put_ref (&b, (page_t) ref, ref >> 32);
  }
  if (b.n)
    free_batch_flush (&b);

  mutex_lock (&p->limbo_lock);
  p->limbo_tail = head;
  p->tidy = true;
  mutex_unlock (&p->limbo_lock);
}

void
arena_reclaim (struct arena *a)
{
  struct arena_private *p = a->priv;

  mutex_lock (&p->reclaim_lock);
  reclaim_locked (p);
  mutex_unlock (&p->reclaim_lock);
}

void
arena_retire (struct arena *a, struct retired *r)
{
  struct arena_private *p = a->priv;
  bool was_empty;
  unsigned i;

  if (r->n == 0)
    return;
  mutex_lock (&p->limbo_lock);
  while (LIMBO_ENTRIES - (p->limbo_head - p->limbo_tail) < r->n) {
    mutex_unlock (&p->limbo_lock);
    arena_reclaim (a);
    mutex_lock (&p->limbo_lock);
  }
  was_empty = p->limbo_head == p->limbo_tail;
  for (i = 0; i < r->n; i++)
    p->limbo[p->limbo_head++ % LIMBO_ENTRIES] = r->ref[i];
  if (was_empty)
    pthread_cond_signal (&p->limbo_cond);
  mutex_unlock (&p->limbo_lock);
  r->n = 0;
}

/* ------------------------------------------------------------- give back */

/* Return the free dirty pages of a chunk to the system, if there are more than
 * keep in all.  Returns false if not.  They are taken out
 * of the chunk meanwhile, so that nobody can allocate them.
 */
static bool
give_back_one (struct arena_private *p, uint64_t keep)
  REQUIRES (p->reclaim_lock)
{
  uint64_t given[CHUNK_WORDS];
  struct chunk *ch;
  unsigned w, i, j;
  uint32_t c;
  bool whole;

  mutex_lock (&p->lock);
  c = p->free_dirty > keep ? p->tail[DIRTY] : NIL;
  if (c == NIL) {
    mutex_unlock (&p->lock);
    return false;
  }
  move_begins (p);
  ch = &p->chunk[c];
  whole = ch->nfree == CHUNK_PAGES;
  for (w = 0; w < CHUNK_WORDS; w++) {
    given[w] = whole ? ch->free[w] : ch->free[w] & ch->dirty[w];
    if (given[w])
      chunk_take (p, c, w, given[w]);
  }
  mutex_unlock (&p->lock);

  for (i = 0; i < CHUNK_PAGES; i = j) {
    bool in = given[i / 64] >> (i % 64) & 1;

    for (j = i + 1; j < CHUNK_PAGES; j++)
      if ((given[j / 64] >> (j % 64) & 1) != in)
        break;
    if (in) {
      char *addr = chunk_addr (p, c) + i * PAGE_BYTES;
      size_t len = (j - i) * PAGE_BYTES;

      UNPOISON (addr, len);
      if (madvise (addr, len, MADV_DONTNEED) == -1 &&
          madvise (addr, len, MADV_DONTNEED_LOCKED) == -1)
        memset (addr, 0, len);  /* locked, and an old kernel: keep A6 */
      POISON (addr, len);
    }
  }

  mutex_lock (&p->lock);
  for (w = 0; w < CHUNK_WORDS; w++)
    if (given[w])
      chunk_put (p, c, w, given[w], 0);
  move_ends (p);
  mutex_unlock (&p->lock);
  return true;
}

static void
give_back (struct arena_private *p, uint64_t keep)
{
  bool more = true;

  /* The lock is let go after each chunk: who waits for room does not want to
   * wait for gigabytes to be given back.
   */
  while (more) {
    mutex_lock (&p->reclaim_lock);
    more = give_back_one (p, keep);
    mutex_unlock (&p->reclaim_lock);
  }
}

void
arena_give_back (struct arena *a, uint64_t keep)
{
  give_back (a->priv, keep / PAGE_BYTES);
}

/* Once a tick: keep as much free memory as was taken from it lately, and half
 * of what was kept before.  Returns whether there may be more to give back.
 */
static bool
tidy_up (struct arena_private *p)
{
  uint64_t keep;
  bool more;

  mutex_lock (&p->lock);
  p->keep /= 2;
  if (p->keep < p->reused)
    p->keep = p->reused;
  if (p->keep < KEEP_PAGES)
    p->keep = KEEP_PAGES;
  keep = p->keep;
  p->reused = 0;
  mutex_unlock (&p->lock);
  give_back (p, keep);
  mutex_lock (&p->lock);
  more = p->free_dirty > KEEP_PAGES;
  mutex_unlock (&p->lock);
  return more;
}

static void
time_from_now (struct timespec *ts, long ns)
{
  clock_gettime (CLOCK_MONOTONIC, ts);
  ts->tv_nsec += ns;
  if (ts->tv_nsec >= 1000000000) {
    ts->tv_nsec -= 1000000000;
    ts->tv_sec++;
  }
}

static bool
before (const struct timespec *a, const struct timespec *b)
{
  return a->tv_sec < b->tv_sec ||
    (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void *
reclaimer (void *vp)
{
  struct arena_private *p = vp;
  struct timespec tick, now;

  time_from_now (&tick, TICK_NS);
  mutex_lock (&p->limbo_lock);
  while (!p->stop) {
    if (p->limbo_head != p->limbo_tail) {
      struct timespec until;

      time_from_now (&until, GATHER_NS);
      while (!p->stop && clock_gettime (CLOCK_MONOTONIC, &now) == 0 &&
             before (&now, &until))
        pthread_cond_timedwait (&p->limbo_cond, &p->limbo_lock.m, &until);
      mutex_unlock (&p->limbo_lock);
      arena_reclaim (&p->a);
      mutex_lock (&p->limbo_lock);
    }
    else if (!p->tidy) {
      pthread_cond_wait (&p->limbo_cond, &p->limbo_lock.m);
      time_from_now (&tick, TICK_NS);
    }
    else
      pthread_cond_timedwait (&p->limbo_cond, &p->limbo_lock.m, &tick);

    clock_gettime (CLOCK_MONOTONIC, &now);
    if (p->tidy && !before (&now, &tick)) {
      bool more;

      p->tidy = false;
      mutex_unlock (&p->limbo_lock);
      more = tidy_up (p);
      mutex_lock (&p->limbo_lock);
      p->tidy |= more;
      time_from_now (&tick, TICK_NS);
    }
  }
  mutex_unlock (&p->limbo_lock);
  return NULL;
}

int
arena_hide (struct arena *a)
{
  return mprotect (a->base, range_len (a->priv), PROT_NONE);
}

/* Has the process locked memory?  proc(5), /proc/pid/status. */
static bool
memory_is_locked (void)
{
  unsigned long kilobytes = 0;
  char line[128];
  FILE *fp = fopen ("/proc/self/status", "re");

  if (fp == NULL)
    return false;
  while (fgets (line, sizeof line, fp) &&
         sscanf (line, "VmLck: %lu", &kilobytes) != 1)
    ;
  fclose (fp);
  return kilobytes > 0;
}

/* The other way round the kernel would touch all of a locked range as soon as
 * it may be written.
 */
static int
show (struct arena *a)
{
  size_t len = range_len (a->priv);

  if (munlock (a->base, len) == -1 ||
      mprotect (a->base, len, PROT_READ | PROT_WRITE) == -1)
    return -1;
  return memory_is_locked () ? mlock2 (a->base, len, MLOCK_ONFAULT) : 0;
}

int
arena_start (struct arena *a)
{
  struct arena_private *p = a->priv;
  int err;

  assert (!p->started);
  if (show (a) == -1)
    return -1;
  mutex_lock (&p->limbo_lock);
  p->stop = false;
  mutex_unlock (&p->limbo_lock);
  err = pthread_create (&p->thread, NULL, reclaimer, p);
  if (err) {
    errno = err;
    return -1;
  }
  p->started = true;
  return 0;
}

void
arena_stop (struct arena *a)
{
  struct arena_private *p = a->priv;

  if (!p->started)
    return;
  mutex_lock (&p->limbo_lock);
  p->stop = true;
  pthread_cond_signal (&p->limbo_cond);
  mutex_unlock (&p->limbo_lock);
  pthread_join (p->thread, NULL);
  p->started = false;
}

/* --------------------------------------------------- create and destroy */

static void *
map (size_t len)
{
  void *addr = mmap (NULL, len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return addr == MAP_FAILED ? NULL : addr;
}

/* Map len bytes that begin at a chunk's boundary. */
static void *
map_aligned (size_t len)
{
  char *addr = map (len + CHUNK_BYTES);
  size_t before_len;

  if (addr == NULL)
    return NULL;
  before_len = -(uintptr_t) addr % CHUNK_BYTES;
  if (before_len)
    munmap (addr, before_len);
  munmap (addr + before_len + len, CHUNK_BYTES - before_len);
  return addr + before_len;
}

static size_t
refs_len (const struct arena_private *p)
{
  return (size_t) p->nchunks * CHUNK_PAGES * sizeof (uint32_t);
}

struct arena *
arena_create (uint64_t limit)
{
  struct arena_private *p;
  pthread_condattr_t attr;
  unsigned i;

  if (limit < ARENA_MIN_LIMIT || limit > ARENA_MAX_LIMIT) {
    errno = EINVAL;
    return NULL;
  }
  p = calloc (1, sizeof *p);
  if (p == NULL)
    return NULL;
  p->a.priv = p;
  p->limit = (limit + PAGE_BYTES - 1) / PAGE_BYTES;
  p->credit = p->limit;
  p->nchunks = (PAGE_FIRST + p->limit + ARENA_OVERDRAFT_PAGES + SLACK_PAGES +
                CHUNK_PAGES - 1) / CHUNK_PAGES;
  for (i = 0; i < NLISTS; i++)
    p->head[i] = p->tail[i] = NIL;

  p->a.base = map_aligned (range_len (p));
  if (p->a.base == NULL)
    goto error1;
  p->a.refs = map (refs_len (p));
  if (p->a.refs == NULL)
    goto error2;
  p->a.birth = map (refs_len (p));
  if (p->a.birth == NULL)
    goto error3;
  p->chunk = map (p->nchunks * sizeof *p->chunk);
  if (p->chunk == NULL)
    goto error4;
  p->limbo = map (LIMBO_ENTRIES * sizeof *p->limbo);
  if (p->limbo == NULL)
    goto error5;
  if (pthread_key_create (&p->cache_key, cache_destructor)) {
    errno = ENOMEM;
    goto error6;
  }
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  if (pthread_cond_init (&p->limbo_cond, &attr) ||
      pthread_cond_init (&p->moved, NULL))
    goto error7;
  pthread_condattr_destroy (&attr);
  mutex_init (&p->lock);
  mutex_init (&p->limbo_lock);
  mutex_init (&p->reclaim_lock);

  (void) madvise (p->a.base, range_len (p), MADV_DONTDUMP);
  (void) madvise (p->a.base, range_len (p), MADV_NOHUGEPAGE);
  /* Page 0 is never used.  Touched before the mapping is first split it gives
   * all parts the same anon_vma, so that the kernel can join them again; else
   * each chunk would stay a mapping of its own, and vm.max_map_count ends.
   */
  p->a.base[0] = 0;
  return &p->a;

 error7:
  pthread_condattr_destroy (&attr);
  pthread_key_delete (p->cache_key);
 error6:
  munmap (p->limbo, LIMBO_ENTRIES * sizeof *p->limbo);
 error5:
  munmap (p->chunk, p->nchunks * sizeof *p->chunk);
 error4:
  munmap (p->a.birth, refs_len (p));
 error3:
  munmap (p->a.refs, refs_len (p));
 error2:
  munmap (p->a.base, range_len (p));
 error1:
  free (p);
  errno = ENOMEM;
  return NULL;
}

void
arena_destroy (struct arena *a)
{
  struct arena_private *p;
  struct cache *cache;

  if (a == NULL)
    return;
  p = a->priv;
  assert (!p->started);
  pthread_key_delete (p->cache_key);
  while ((cache = p->caches) != NULL) {
    p->caches = cache->next;
    free (cache);
  }
  UNPOISON (p->a.base, range_len (p));
  mutex_destroy (&p->lock);
  mutex_destroy (&p->limbo_lock);
  mutex_destroy (&p->reclaim_lock);
  pthread_cond_destroy (&p->limbo_cond);
  pthread_cond_destroy (&p->moved);
  munmap (p->limbo, LIMBO_ENTRIES * sizeof *p->limbo);
  munmap (p->chunk, p->nchunks * sizeof *p->chunk);
  munmap (p->a.birth, refs_len (p));
  munmap (p->a.refs, refs_len (p));
  munmap (p->a.base, range_len (p));
  free (p);
}

/* ------------------------------------------------------ stats and checks */

void
arena_stats (struct arena *a, struct arena_stats *stats)
{
  struct arena_private *p = a->priv;
  int64_t credit = atomic_load_explicit (&p->credit, memory_order_relaxed);

  stats->limit = p->limit * PAGE_BYTES;
  stats->used = (p->limit - credit) * PAGE_BYTES;
  mutex_lock (&p->lock);
  stats->cached = p->free_dirty * PAGE_BYTES;
  mutex_unlock (&p->lock);
  mutex_lock (&p->limbo_lock);
  stats->retired = p->limbo_head - p->limbo_tail;
  mutex_unlock (&p->limbo_lock);
  stats->grace_periods = atomic_load_explicit (&p->grace_periods,
                                               memory_order_relaxed);
}

#define CHECK(invariant, cond, ...)                                     \
  do {                                                                  \
    if (!(cond)) {                                                      \
      fprintf (stderr, "arena: invariant " invariant " broken: " __VA_ARGS__); \
      fputc ('\n', stderr);                                             \
      abort ();                                                         \
    }                                                                   \
  } while (0)

/* Reading every clean page takes too long, so only some are read. */
#define CHECK_CLEAN_EVERY 61

static void
check_free_page (struct arena_private *p, page_t page, bool dirty)
{
  static const char zero[PAGE_BYTES];

  CHECK ("A2", arena_refs (&p->a, page) == 0,
         "free page %" PRIu32 " has %" PRIu32 " references",
         page, arena_refs (&p->a, page));
  if (!dirty && page % CHECK_CLEAN_EVERY == 0) {
    UNPOISON (arena_addr (&p->a, page), PAGE_BYTES);
    CHECK ("A6", memcmp (arena_addr (&p->a, page), zero, PAGE_BYTES) == 0,
           "clean page %" PRIu32 " is not zero", page);
    POISON (arena_addr (&p->a, page), PAGE_BYTES);
  }
}

void
arena_check (struct arena *a, uint64_t in_use)
{
  struct arena_private *p = a->priv;
  uint64_t nfree = 0, cached = 0, granted = 0, referenced = 0;
  struct cache *cache;
  uint32_t c;
  unsigned i;

  /* Our own thread may just be giving a chunk back. */
  mutex_lock (&p->reclaim_lock);
  mutex_lock (&p->lock);
  for (c = 0; c < p->top; c++) {
    struct chunk *ch = &p->chunk[c];
    unsigned n = 0;

    for (i = 0; i < CHUNK_PAGES; i++) {
      page_t page = c * CHUNK_PAGES + i;

      if (ch->free[i / 64] >> (i % 64) & 1) {
        n++;
        check_free_page (p, page, ch->dirty[i / 64] >> (i % 64) & 1);
      }
      else if (page >= PAGE_FIRST && arena_refs (a, page) > 0)
        referenced++;
    }
    CHECK ("A2", n == ch->nfree, "chunk %" PRIu32 " counts %u free, has %u",
           c, ch->nfree, n);
    nfree += n;
  }
  for (cache = p->caches; cache; cache = cache->next) {
    cached += __builtin_popcountll (cache->free);
    granted += cache->granted ? CACHE_PAGES : 0;
    for (i = 0; i < 64; i++)
      if (cache->free >> i & 1)
        check_free_page (p, cache->base + i, cache->dirty >> i & 1);
  }
  CHECK ("A5", granted == p->granted && cached <= SLACK_PAGES,
         "%" PRIu64 " pages cached, %" PRIu64 " granted", cached, p->granted);
  CHECK ("A2", referenced == in_use,
         "%" PRIu64 " pages have references, %" PRIu64 " can be reached",
         referenced, in_use);
  CHECK ("A2", p->top == 0 || nfree + cached + in_use + PAGE_FIRST ==
         (uint64_t) p->top * CHUNK_PAGES,
         "%" PRIu64 " free + %" PRIu64 " cached + %" PRIu64 " in use of %u",
         nfree, cached, in_use, p->top * CHUNK_PAGES);
  CHECK ("A1", (uint64_t) p->credit + in_use == p->limit,
         "credit %" PRId64 ", in use %" PRIu64 ", limit %" PRIu64,
         p->credit, in_use, p->limit);
  mutex_unlock (&p->lock);
  mutex_unlock (&p->reclaim_lock);
}
