/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: pages, and how they are allocated. arena.h has the design;
 * reclaim.c has the way back.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mutex.h"
#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"

/* Room for 1024 threads with a full cache each (A5); further threads take
 * single pages.  This is only address space, 256 MiB.
 */
#define SLACK_PAGES (1024 * CACHE_PAGES)

/* How many threads may populate a chunk at a time.  More would take more memory
 * than anyone asked for.
 */
#define MOST_POPULATING 2

/* ---------------------------------------------------------------- chunks */

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

/* A chunk has no small pages any more. */
static void
forget_small (struct arena_private *p, uint32_t c) REQUIRES (p->lock)
{
  unsigned i;

  for (i = 0; i < p->nsmall; i++)
    if (p->small[i] == c) {
      p->small[i] = p->small[--p->nsmall];
      return;
    }
}

/* Put a chunk on the list for its counts.  Chunks that are completely free go
 * to the end, where the reclaimer takes them and allocation comes last.
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
  if (want == COLD) {
    p->warm--;
    forget_small (p, c);
  }
}

uint64_t
arena_chunk_take (struct arena_private *p, uint32_t c, unsigned w,
                  uint64_t mask)
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

void
arena_chunk_put (struct arena_private *p, uint32_t c, unsigned w, uint64_t mask,
                 uint64_t dirty)
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

/* The arena as a whole is MADV_NOHUGEPAGE.  Otherwise khugepaged would later
 * turn chunks whose free pages were returned into huge pages again, and the
 * memory in use would grow unnoticed.  The flag matters only at the fault.  The
 * two changes split the mapping and join it again.
 */
void
arena_chunk_huge (struct arena_private *p, uint32_t c, int how)
{
  char *addr = chunk_addr (p, c);

  if (madvise (addr, CHUNK_BYTES, MADV_HUGEPAGE) == 0) {
    (void) madvise (addr, CHUNK_BYTES, how);
    (void) madvise (addr, CHUNK_BYTES, MADV_NOHUGEPAGE);
  }
}

uint32_t
arena_new_chunk (struct arena_private *p)
{
  uint32_t c = p->top++;
  struct chunk *ch = &p->chunk[c];

  memset (ch->free, 0xff, sizeof ch->free);
  ch->nfree = CHUNK_PAGES;
  ch->list = NONE;
  ch->free[0] &= UINT64_MAX << fixed_pages (p, c);
  ch->nfree -= fixed_pages (p, c);
  return c;
}

/* Make one more chunk available, or wait until another thread has done so; the
 * caller looks again.  Releases the lock in between.  Returns false if the
 * whole range is in use.
 */
static bool
warm_up (struct arena_private *p) REQUIRES (p->lock)
{
  bool left = p->head[COLD] != NIL || p->top < p->nchunks;
  uint32_t c;

  if (p->file)                  /* only space that was taken counts: A7 */
    left = false;
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
    c = arena_new_chunk (p);
  if (p->warm++ >= HUGE_AFTER_CHUNKS) {
    p->populating++;
    move_begins (p);
    mutex_unlock (&p->lock);
    /* After an error, the pages are faulted in one by one. */
    arena_chunk_huge (p, c, MADV_POPULATE_WRITE);
    mutex_lock (&p->lock);
    p->populating--;
    move_ends (p);
  }
  else {
    /* All others in it are warm, too. */
    assert (p->nsmall < HUGE_AFTER_CHUNKS);
    p->small[p->nsmall++] = c;
  }
  list_insert (p, c, CLEAN, false);
  return true;
}

/* The free pages of a word that may be allocated. */
static uint64_t
takeable (const struct arena_private *p, const struct chunk *ch, unsigned w)
{
  return p->file ? ch->free[w] & ch->dirty[w] : ch->free[w];
}

/* Take free pages of one bitmap word: all of them, or one page. */
static uint64_t
take_word (struct arena_private *p, bool one, page_t *base, uint64_t *dirty)
  REQUIRES (p->lock)
{
  uint32_t c;
  unsigned w;
  uint64_t mask;

  do {
    c = p->head[DIRTY] != NIL || p->file ? p->head[DIRTY] : p->head[CLEAN];
  } while (c == NIL && warm_up (p));
  if (c == NIL)
    return 0;

  for (w = 0; (mask = takeable (p, &p->chunk[c], w)) == 0; w++)
    assert (w + 1 < CHUNK_WORDS);
  if (one)
    mask &= -mask;
  *base = c * CHUNK_PAGES + w * 64;
  *dirty = arena_chunk_take (p, c, w, mask);
  p->reused += __builtin_popcountll (*dirty);
  return mask;
}

/* ---------------------------------------------------------------- caches */

static void
cache_drop (struct arena_private *p, struct cache *cache) REQUIRES (p->lock)
{
  arena_put_pages (p, cache->base, cache->free, cache->dirty);
  if (cache->granted)
    p->granted -= CACHE_PAGES;
  if (cache->prev)
    cache->prev->next = cache->next;
  else
    p->caches = cache->next;
  if (cache->next)
    cache->next->prev = cache->prev;
}

/* Acquire and release: each thread that sets busy sees what the previous one
 * did.
 */
static bool
cache_take (struct cache *cache)
{
  return !atomic_exchange_explicit (&cache->busy, true, memory_order_acquire);
}

static void
cache_leave (struct cache *cache)
{
  atomic_store_explicit (&cache->busy, false, memory_order_release);
}

void
arena_sweep_caches_locked (struct arena_private *p)
{
  struct cache *cache;

  for (cache = p->caches; cache; cache = cache->next) {
    if (atomic_exchange_explicit (&cache->used, false, memory_order_relaxed) ||
        !cache_take (cache))
      continue;
    arena_put_pages (p, cache->base, cache->free, cache->dirty);
    cache->free = cache->dirty = 0;
    if (cache->granted)
      p->granted -= CACHE_PAGES;
    cache->granted = false;
    cache_leave (cache);
  }
  p->watched = p->granted > 0;
}

static void
wake_reclaimer (struct arena_private *p)
{
  mutex_lock (&p->limbo_lock);
  if (!p->tidy) {
    p->tidy = true;
    pthread_cond_signal (&p->limbo_cond);
  }
  mutex_unlock (&p->limbo_lock);
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
  wake_reclaimer (p);
  free (cache);
}

/* The cache of this thread; NULL if there is no memory for one. */
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

/* Fill an empty cache.  A cache may hold more than it is about to use only if
 * that was granted, so A5 holds with any number of threads.
 */
static bool
cache_fill (struct arena_private *p, struct cache *cache)
{
  bool watched;

  if (p->file && !cache->granted)
    arena_back (p, CACHE_PAGES, false);
  mutex_lock (&p->lock);
  if (!cache->granted && p->granted + CACHE_PAGES <= SLACK_PAGES &&
      (p->file == NULL || spare_pages (p) >= CACHE_PAGES)) {
    cache->granted = true;
    p->granted += CACHE_PAGES;
  }
  cache->free = take_word (p, !cache->granted, &cache->base, &cache->dirty);
  watched = p->watched || !cache->granted;
  p->watched |= cache->granted;
  mutex_unlock (&p->lock);
  if (!watched)
    wake_reclaimer (p);
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

/* The same, when there is space in the file for it. */
static bool
back_and_reserve (struct arena_private *p, uint64_t n, int64_t floor)
{
  while (arena_back (p, n, true))
    if (try_reserve (p, n, floor))
      return true;
  return false;
}

/* Have others give up memory.  Returns whether they have. */
static bool
press (struct arena *a, uint64_t n)
{
  unsigned i;

  for (i = 0; i < 2; i++)
    if (a->pressure[i].fn && a->pressure[i].fn (a->pressure[i].opaque, n) > 0)
      return true;
  return false;
}

int
arena_reserve (struct arena *a, uint64_t n, bool overdraft)
{
  struct arena_private *p = a->priv;
  int64_t floor = overdraft
    ? -atomic_load_explicit (&p->overdraft, memory_order_relaxed) : 0;

  if (n == 0)
    return 0;
  if (n <= p->limit + ARENA_OVERDRAFT_PAGES) {
    if (try_reserve (p, n, floor))
      return 0;
    if (p->file && back_and_reserve (p, n, floor))
      return 0;
    do {
      arena_reclaim (a);
      if (try_reserve (p, n, floor))
        return 0;
      if (p->file && back_and_reserve (p, n, floor))
        return 0;
    } while (press (a, n));
  }
  errno = ENOSPC;
  return -1;
}

void
arena_set_pressure (struct arena *a, enum pressure rank,
                    uint64_t (*fn) (void *opaque, uint64_t n), void *opaque)
{
  a->pressure[rank].fn = fn;
  a->pressure[rank].opaque = opaque;
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

  if (cache && cache_take (cache))
    atomic_store_explicit (&cache->used, true, memory_order_relaxed);
  else
    cache = &single;            /* empty between calls: not granted */

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
  if (cache != &single)
    cache_leave (cache);
  return i;
}

void
arena_free_unlinked (struct arena *a, page_t page)
{
  struct arena_private *p = a->priv;
  struct cache *cache = cache_get (p);
  page_t base = page & ~63u;
  uint64_t mask = UINT64_C (1) << (page & 63);
  bool kept = false;

  assert (arena_refs (a, page) == 1);
  atomic_store_explicit (&a->refs[page], 0, memory_order_relaxed);
  POISON (arena_addr (a, page), PAGE_BYTES);

  if (cache && cache_take (cache)) {
    kept = cache->granted && (cache->free == 0 || cache->base == base);
    if (kept) {
      cache->base = base;
      cache->free |= mask;
      cache->dirty |= mask;
    }
    cache_leave (cache);
  }
  if (kept)
    return;
  mutex_lock (&p->lock);
  arena_put_pages (p, base, mask, mask);
  mutex_unlock (&p->lock);
}

/* --------------------------------------------------- create and destroy */

static void *
map (size_t len)
{
  void *addr = mmap (NULL, len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return addr == MAP_FAILED ? NULL : addr;
}

/* Map len bytes, aligned to a chunk. */
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

struct arena_private *
arena_new (uint64_t limit, uint32_t chunks)
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
  p->credit = p->promised = p->limit;
  p->overdraft = ARENA_OVERDRAFT_PAGES;
  p->nchunks = (PAGE_FIRST + p->limit + ARENA_OVERDRAFT_PAGES + SLACK_PAGES +
                CHUNK_PAGES - 1) / CHUNK_PAGES;
  if (p->nchunks < chunks)
    p->nchunks = chunks;
  for (i = 0; i < NLISTS; i++)
    p->head[i] = p->tail[i] = NIL;

  p->a.base = map_aligned (range_len (p));
  if (p->a.base == NULL)
    goto error1;
  p->a.refs = map (refs_len (p));
  if (p->a.refs == NULL)
    goto error2;
  p->a.owner_generation = map (refs_len (p));
  if (p->a.owner_generation == NULL)
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
  mutex_init (&p->space_lock);
  (void) madvise (p->a.base, range_len (p), MADV_DONTDUMP);
  return p;

 error7:
  pthread_condattr_destroy (&attr);
  pthread_key_delete (p->cache_key);
 error6:
  munmap (p->limbo, LIMBO_ENTRIES * sizeof *p->limbo);
 error5:
  munmap (p->chunk, p->nchunks * sizeof *p->chunk);
 error4:
  munmap (p->a.owner_generation, refs_len (p));
 error3:
  munmap (p->a.refs, refs_len (p));
 error2:
  munmap (p->a.base, range_len (p));
 error1:
  free (p);
  errno = ENOMEM;
  return NULL;
}

struct arena *
arena_create (uint64_t limit)
{
  struct arena_private *p = arena_new (limit, 0);

  if (p == NULL)
    return NULL;
  (void) madvise (p->a.base, range_len (p), MADV_NOHUGEPAGE);
  /* Page 0 is never used.  Touching it before the mapping is first split gives
   * all parts the same anon_vma, so the kernel can join them again.  Otherwise
   * each chunk would stay a mapping of its own, up to vm.max_map_count.
   */
  p->a.base[0] = 0;
  return &p->a;
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
  arena_file_free (p->file);
  pthread_key_delete (p->cache_key);
  while ((cache = p->caches) != NULL) {
    p->caches = cache->next;
    free (cache);
  }
  UNPOISON (p->a.base, range_len (p));
  mutex_destroy (&p->lock);
  mutex_destroy (&p->limbo_lock);
  mutex_destroy (&p->reclaim_lock);
  mutex_destroy (&p->space_lock);
  pthread_cond_destroy (&p->limbo_cond);
  pthread_cond_destroy (&p->moved);
  munmap (p->limbo, LIMBO_ENTRIES * sizeof *p->limbo);
  munmap (p->chunk, p->nchunks * sizeof *p->chunk);
  munmap (p->a.owner_generation, refs_len (p));
  munmap (p->a.refs, refs_len (p));
  munmap (p->a.base, range_len (p));
  free (p);
}

/* ------------------------------------------------- statistics and checks */

void
arena_stats (struct arena *a, struct arena_stats *stats)
{
  struct arena_private *p = a->priv;

  stats->limit = p->limit * PAGE_BYTES;
  mutex_lock (&p->lock);
  /* A file's credit and promises change together, with the lock held. */
  stats->used =
    (atomic_load_explicit (&p->promised, memory_order_relaxed) -
     atomic_load_explicit (&p->credit, memory_order_relaxed)) * PAGE_BYTES;
  stats->cached = p->free_dirty * PAGE_BYTES;
  stats->granted = p->granted * PAGE_BYTES;
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
  /* In a file, clean pages have no space: reading them would take some. */
  if (!dirty && p->file == NULL && page % CHECK_CLEAN_EVERY == 0) {
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
  uint64_t nfree = 0, cached = 0, granted = 0, referenced = 0, fixed = 0;
  struct cache *cache;
  uint32_t c;
  unsigned i;

  /* Our own thread may be returning a chunk at this moment. */
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
      else if (i >= fixed_pages (p, c) && arena_refs (a, page) > 0)
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
  for (c = 0; c < p->top; c++)
    fixed += fixed_pages (p, c);
  CHECK ("A2", nfree + cached + in_use + fixed ==
         (uint64_t) p->top * CHUNK_PAGES,
         "%" PRIu64 " free + %" PRIu64 " cached + %" PRIu64 " in use of %u",
         nfree, cached, in_use, p->top * CHUNK_PAGES);
  CHECK ("A1", p->credit + (int64_t) in_use == p->promised &&
         p->promised <= (int64_t) p->limit,
         "credit %" PRId64 ", in use %" PRIu64 ", promised %" PRId64
         ", limit %" PRIu64, p->credit, in_use, p->promised, p->limit);
  if (p->file) {
    CHECK ("A7", p->backed == p->free_dirty + cached + in_use &&
           spare_pages (p) >= 0,
           "space for %" PRIu64 " pages: %" PRIu64 " free + %" PRIu64
           " cached + %" PRIu64 " in use, %" PRId64 " spare", p->backed,
           p->free_dirty, cached, in_use, spare_pages (p));
    arena_file_check (p);
  }
  mutex_unlock (&p->lock);
  mutex_unlock (&p->reclaim_lock);
}
