/* SPDX-License-Identifier: BSD-3-Clause */
/* The way back: references are decremented after a grace period, and free
 * memory is returned to the system. arena.h has the design.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/node.h"
#include "ramdisk/rcu.h"

#ifndef MADV_DONTNEED_LOCKED    /* Linux 5.18 */
#define MADV_DONTNEED_LOCKED 24
#endif

/* How many pages are put on the bitmaps in one critical section. */
#define FREE_BATCH 256

/* How long the reclaimer collects references before it starts a grace period,
 * and how often it checks whether free memory is still needed.
 */
#define GATHER_NS (1000 * 1000)
#define TICK_NS (100 * 1000 * 1000)

/* How many chunks become huge pages in one tick.  Each takes about a third of a
 * millisecond, in which its clients wait.
 */
#define GATHER_CHUNKS 8

/* Free memory that is never returned: 1 MiB. */
#define KEEP_PAGES 256

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
    /* Neighbours are often freed together; handle them in one step. */
    page_t base = b->page[i] & ~63u;
    uint64_t mask = 0;

    for (; i < b->n && (b->page[i] & ~63u) == base; i++)
      mask |= UINT64_C (1) << (b->page[i] & 63);
    arena_put_pages (p, base, mask, mask);
  }
  mutex_unlock (&p->lock);
  arena_unreserve (&p->a, b->n);
  b->n = 0;
}

/* Decrement the count of one reference; at 0, free the page and what it refers
 * to.
 *
 * Only counted references lead to a page.  If ours is the only one left,
 * nothing else can raise the count any more, so no atomic read-modify-write is
 * needed.  Most pages are freed this way.
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

/* The number of free pages that could be returned.  In a file, some of them are
 * set aside.
 */
static uint64_t
surplus (const struct arena_private *p) REQUIRES (p->lock)
{
  uint64_t aside = 0;

  if (p->file)
    aside = p->granted +
      atomic_load_explicit (&p->overdraft, memory_order_relaxed);
  return p->free_dirty > aside ? p->free_dirty - aside : 0;
}

/* Return the free dirty pages of a chunk to the system, if there are more than
 * keep in total.  Returns false if not.  The pages are removed from the chunk
 * in the meantime, so that they cannot be allocated.
 */
static bool
give_back_one (struct arena_private *p, uint64_t keep)
  REQUIRES (p->reclaim_lock)
{
  uint64_t given[CHUNK_WORDS], dirty[CHUNK_WORDS] = { 0 };
  struct chunk *ch;
  unsigned w, i, j;
  uint32_t c;
  bool whole, more = false;

  mutex_lock (&p->lock);
  c = surplus (p) > keep ? p->tail[DIRTY] : NIL;
  if (c == NIL || (p->file && !arena_file_retract (p, c))) {
    mutex_unlock (&p->lock);
    return false;
  }
  move_begins (p);
  ch = &p->chunk[c];
  whole = ch->nfree == CHUNK_PAGES && p->file == NULL;
  for (w = 0; w < CHUNK_WORDS; w++) {
    given[w] = whole ? ch->free[w] : ch->free[w] & ch->dirty[w];
    if (given[w])
      arena_chunk_take (p, c, w, given[w]);
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
      if (p->file) {
        if (arena_file_punch (p, c * CHUNK_PAGES + i, j - i) == -1)
          for (w = i; w < j; w++)       /* they stay as they were */
            dirty[w / 64] |= UINT64_C (1) << (w % 64);
      }
      else if (madvise (addr, len, MADV_DONTNEED) == -1 &&
               madvise (addr, len, MADV_DONTNEED_LOCKED) == -1)
        memset (addr, 0, len);  /* locked memory and an old kernel: keep A6 */
      POISON (addr, len);
    }
  }

  mutex_lock (&p->lock);
  for (w = 0; w < CHUNK_WORDS; w++)
    if (given[w]) {
      arena_chunk_put (p, c, w, given[w], dirty[w]);
      more |= dirty[w] == 0;
      if (p->file)
        p->backed += __builtin_popcountll (dirty[w]);
    }
  move_ends (p);
  mutex_unlock (&p->lock);
  return more;
}

static void
give_back (struct arena_private *p, uint64_t keep)
{
  bool more = true;

  /* The lock is released after each chunk: a thread that waits for memory must
   * not wait until gigabytes are returned.
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

/* Take a chunk that was touched page by page, and of which all pages are in
 * use, off the list.  Returns NIL if there is none.
 */
static uint32_t
full_small_chunk (struct arena_private *p)
{
  uint32_t c = NIL;
  unsigned i;

  mutex_lock (&p->lock);
  for (i = 0; i < p->nsmall && c == NIL; i++)
    if (p->chunk[p->small[i]].nfree == 0) {
      c = p->small[i];
      p->small[i] = p->small[--p->nsmall];
    }
  mutex_unlock (&p->lock);
  return c;
}

/* Turn small pages that are all in use into huge ones.  It takes no memory, and
 * saves accesses a walk of the page tables.  On one machine, probably one
 * without nested paging (PVM), a quarter of the reads from small pages beside
 * huge ones took 15 us more.  If the system has no huge page, the chunk stays
 * as it is.  Returns whether there may be more to do.
 */
static bool
gather (struct arena_private *p)
{
  uint32_t c = NIL;
  unsigned i;

  for (i = 0; i < GATHER_CHUNKS; i++) {
    /* While a chunk is returned, its pages do not become huge again. */
    mutex_lock (&p->reclaim_lock);
    c = full_small_chunk (p);
    if (c != NIL)
      arena_chunk_huge (p, c, MADV_COLLAPSE);
    mutex_unlock (&p->reclaim_lock);
    if (c == NIL)
      return false;
  }
  return true;
}

/* In a file, space is taken in chunks. */
static uint64_t
keep_always (const struct arena_private *p)
{
  return p->file ? CHUNK_PAGES : KEEP_PAGES;
}

/* Once a tick: keep as much free memory as was recently taken from it, plus
 * half of what was kept before.  Returns whether there may be more to return.
 */
static bool
tidy_up (struct arena_private *p)
{
  uint64_t keep;
  bool more;

  mutex_lock (&p->lock);
  arena_sweep_caches_locked (p);
  p->keep /= 2;
  if (p->keep < p->reused)
    p->keep = p->reused;
  if (p->keep < keep_always (p))
    p->keep = keep_always (p);
  keep = p->keep;
  p->reused = 0;
  mutex_unlock (&p->lock);
  give_back (p, keep);
  more = gather (p);
  mutex_lock (&p->lock);
  more |= surplus (p) > keep_always (p) || p->watched;
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

/* Whether the process has locked memory: proc(5), /proc/pid/status. */
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

/* In the opposite order, the kernel would touch all of a locked range as soon
 * as it becomes writable.
 */
int
arena_show (struct arena *a)
{
  size_t len = range_len (a->priv);
  bool locked = memory_is_locked ();

  /* Some containers allow no munlock. */
  if ((locked && munlock (a->base, len) == -1) ||
      mprotect (a->base, len, PROT_READ | PROT_WRITE) == -1)
    return -1;
  return locked ? mlock2 (a->base, len, MLOCK_ONFAULT) : 0;
}

int
arena_start (struct arena *a)
{
  struct arena_private *p = a->priv;
  int err;

  assert (!p->started);
  if (p->file && arena_file_use (p) == -1)
    return -1;
  mutex_lock (&p->limbo_lock);
  p->stop = false;
  mutex_unlock (&p->limbo_lock);
  err = thread_start (&p->thread, "mblock-reclaim", reclaimer, p);
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
