/* SPDX-License-Identifier: BSD-3-Clause */
/* What arena.c, which allocates pages, and reclaim.c, which takes them back,
 * share. arena.h has the design.
 */

#ifndef MRAMDISK_ARENA_PARTS_H
#define MRAMDISK_ARENA_PARTS_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/mutex.h"
#include "ramdisk/arena-layout.h"
#include "ramdisk/arena.h"

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
#ifndef MADV_COLLAPSE           /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

/* The size of a huge page on x86-64, and on arm64 with pages of 4 KiB. */
#define CHUNK_BYTES (UINT64_C (2) << 20)
#define CHUNK_PAGES ((unsigned) (CHUNK_BYTES / PAGE_BYTES))
#define CHUNK_WORDS (CHUNK_PAGES / 64)
static_assert (CHUNK_PAGES % 64 == 0, "bitmaps are of 64-bit words");
static_assert (CHUNK_PAGES == LAYOUT_CHUNK_PAGES, "part of the layout");

/* With fewer chunks in use (128 MiB), memory is touched page by page, so that a
 * small disk takes no more than it needs.  Beyond, the rest of a huge page is
 * less than 2 % of the total.
 */
#define HUGE_AFTER_CHUNKS 64

/* A cache holds free pages of one bitmap word. */
#define CACHE_PAGES 64

/* How many retired references may wait (a ring of 512 KiB).  A thread that
 * finds the ring full waits for the grace period itself.
 */
#define LIMBO_ENTRIES (UINT64_C (64) << 10)

#define NIL UINT32_MAX

/* The lists that a chunk may be on.  A chunk without free pages is on none. */
enum list {
  DIRTY,                        /* has free pages that are dirty */
  CLEAN,                        /* has free pages, all of them clean */
  COLD,                         /* all pages are free and clean */
  NLISTS,
  NONE = NLISTS
};

struct chunk {
  uint64_t free[CHUNK_WORDS];
  uint64_t dirty[CHUNK_WORDS];  /* meaningful for free pages only */
  uint32_t prev, next;
  uint16_t nfree;
  uint16_t ndirty;              /* pages both free and dirty */
  uint8_t list;                 /* enum list */
};

/* Free pages of one thread.  Only that thread accesses them, and the reclaimer
 * if the thread has not done so for some time; each only while it has set busy.
 * Neither waits for the other.
 */
struct cache {
  struct arena_private *arena;
  atomic_bool busy;
  atomic_bool used;             /* since the reclaimer last looked */
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
  _Atomic int64_t overdraft;    /* the limit of that, in pages */
  _Atomic int64_t promised;     /* A1 */

  struct mutex lock;
  struct chunk *chunk;          /* nchunks elements, mapped on demand */
  uint32_t nchunks;
  uint32_t top GUARDED_BY (lock);         /* chunks below this one have been
                                           * used */
  uint32_t head[NLISTS] GUARDED_BY (lock);
  uint32_t tail[NLISTS] GUARDED_BY (lock);
  uint32_t warm GUARDED_BY (lock);        /* chunks that are not cold */
  uint32_t small[HUGE_AFTER_CHUNKS] GUARDED_BY (lock);  /* chunks that were
                                           * touched page by page */
  unsigned nsmall GUARDED_BY (lock);
  uint64_t free_dirty GUARDED_BY (lock);  /* pages */
  uint64_t reused GUARDED_BY (lock);      /* dirty pages taken since the tick */
  uint64_t keep GUARDED_BY (lock);        /* pages, see tidy_up */
  uint64_t granted GUARDED_BY (lock);     /* granted to caches: CACHE_PAGES for
                                           * each full one */
  bool watched GUARDED_BY (lock);         /* the reclaimer looks at caches */
  uint64_t backed GUARDED_BY (lock);      /* A7 */
  unsigned populating GUARDED_BY (lock);  /* threads in warm_up */
  unsigned moving GUARDED_BY (lock);      /* of threads in these and in
                                           * give_back_chunk */
  pthread_cond_t moved;                   /* one of these threads is done */
  struct cache *caches GUARDED_BY (lock);
  pthread_key_t cache_key;

  struct arena_file *file;      /* NULL if the memory is anonymous */
  struct mutex space_lock;      /* held while space is taken in the file */

  struct mutex limbo_lock;
  pthread_cond_t limbo_cond;
  uint64_t *limbo;                              /* ring */
  uint64_t limbo_head GUARDED_BY (limbo_lock);  /* next entry to fill */
  uint64_t limbo_tail GUARDED_BY (limbo_lock);  /* next entry to free */
  bool stop GUARDED_BY (limbo_lock);
  bool tidy GUARDED_BY (limbo_lock);            /* there may be too much free
                                                 * memory */

  /* Held while references are counted down and memory is returned: a thread
   * that gets it knows that nothing is half done.
   */
  struct mutex reclaim_lock;
  _Atomic uint64_t grace_periods;
  bool started;
  pthread_t thread;
};

/* Pages of the file that have space and are not used: neither promised, nor set
 * aside for caches and the overdraft (A7).
 */
static inline int64_t
spare_pages (const struct arena_private *p) REQUIRES (p->lock)
{
  return (int64_t) (p->backed - p->granted) -
    atomic_load_explicit (&p->promised, memory_order_relaxed) -
    atomic_load_explicit (&p->overdraft, memory_order_relaxed);
}

/* The number of pages at the start of a chunk that are never allocated. */
static inline unsigned
fixed_pages (const struct arena_private *p, uint32_t c)
{
  if (c == 0)
    return PAGE_FIRST;
  return p->file && c % LAYOUT_GROUP_CHUNKS == 0;
}

/* Make sure that n pages of the file can be set aside or promised. promise: how
 * many of them are promised at once, together with all other spare pages.
 * Returns whether anything was gained.  Takes space_lock and the arena's lock.
 */
bool arena_back (struct arena_private *p, uint64_t n, bool promise);

/* Begin to use a chunk that was never used. */
uint32_t arena_new_chunk (struct arena_private *p) REQUIRES (p->lock);

/* Make a chunk one huge page, if the system has one. how: MADV_POPULATE_WRITE
 * or MADV_COLLAPSE.
 */
void arena_chunk_huge (struct arena_private *p, uint32_t c, int how);

/* The common part of arena_create and arena_file_open.  The range has at least
 * this many chunks, and is anonymous.
 */
struct arena_private *arena_new (uint64_t limit, uint32_t chunks);

static inline size_t
range_len (const struct arena_private *p)
{
  return p->nchunks * CHUNK_BYTES;
}

static inline char *
chunk_addr (struct arena_private *p, uint32_t c)
{
  return p->a.base + c * CHUNK_BYTES;
}

/* A chunk becomes inaccessible to others, or accessible again.  In between, a
 * thread that finds no free page waits, so that A5 holds: while there is
 * credit, there is a page.
 */
static inline void
move_begins (struct arena_private *p) REQUIRES (p->lock)
{
  p->moving++;
}

static inline void
move_ends (struct arena_private *p) REQUIRES (p->lock)
{
  p->moving--;
  pthread_cond_broadcast (&p->moved);
}

/* Take the pages in mask, of word w, out of a chunk.  Returns which were dirty.
 */
uint64_t arena_chunk_take (struct arena_private *p, uint32_t c, unsigned w,
                           uint64_t mask) REQUIRES (p->lock);

/* Put them back. dirty: those that may not read as zeros (A6). */
void arena_chunk_put (struct arena_private *p, uint32_t c, unsigned w,
                      uint64_t mask, uint64_t dirty) REQUIRES (p->lock);

/* The same for pages of the word whose first page is base. */
static inline void
arena_put_pages (struct arena_private *p, page_t base, uint64_t mask,
                 uint64_t dirty) REQUIRES (p->lock)
{
  if (mask)
    arena_chunk_put (p, base / CHUNK_PAGES, base % CHUNK_PAGES / 64, mask,
                     dirty);
}

/* Take back the cached pages of threads that have not allocated since the last
 * call: their connections are idle, perhaps for days.
 */
void arena_sweep_caches_locked (struct arena_private *p) REQUIRES (p->lock);

#endif /* MRAMDISK_ARENA_PARTS_H */
