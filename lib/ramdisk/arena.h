/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: all the memory of all disks, in pages of 4 KiB.
 *
 * Design
 *
 * One range of address space is reserved at the start, large enough for the
 * limit, and never moves.  A page is named by its 32-bit number in that range;
 * nothing in a page points anywhere but by page number, so that the range may
 * later be a file that outlasts the process.  Beside it stands a table with a
 * reference count for each page.
 *
 * Pages are grouped into chunks of 2 MiB.  That is the unit in which memory is
 * taken from the system and, where it can be, given back: once the arena has
 * some size a chunk is populated as one huge page, which costs 190 ns for
 * each 4 KiB where single faults cost 1300 (bench/ has the program).
 *
 * A page has one of three states:
 *
 *   free      on its chunk's bitmap, or in one thread's cache
 *   in use    reachable from a root, or owned by the code that allocated it
 *   retired   unlinked, waiting for a grace period (see arena_retire)
 *
 * Room is promised before it is used.  arena_reserve takes credit for pages
 * and is the only place that says ENOSPC; arena_alloc then spends it.  So a
 * request that may need pages can fail before it has changed anything.
 *
 * Invariants
 *
 *   A1  limit == credit + (pages in use or retired) + (reserved, not yet
 *       allocated).
 *   A2  A page's reference count is 0 if and only if it is free.
 *   A3  A page that was linked anywhere is freed only by the reclaimer, after
 *       a grace period that began when it had been unlinked.
 *   A4  References that are given up are also only counted down after that
 *       grace period: a count that falls to 1 tells a writer of another disk
 *       that it may store in place, so no reader may be left behind.
 *   A5  Pages in thread caches are at most SLACK_PAGES in all, and the range
 *       has that many pages beyond the limit and the overdraft: while there is
 *       credit there is a free page, or one that comes back in a moment.
 *   A6  A free page that is not marked dirty reads as zeros.
 *
 * Thread-safety.  All functions may be called from any thread but
 * arena_create, arena_hide, arena_start, arena_stop and arena_destroy, which
 * want to be alone.
 *   takes no lock:                arena_addr, arena_refs, arena_ref_*,
 *                                 arena_unreserve
 *   takes the arena's lock:       arena_alloc, arena_free_unlinked, arena_stats
 *   waits for a grace period, so never in a reader section:
 *                                 arena_reclaim, arena_give_back; and
 *                                 arena_reserve and arena_retire at their
 *                                 limits
 */

#ifndef MRAMDISK_ARENA_H
#define MRAMDISK_ARENA_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES (1u << PAGE_SHIFT)

/* The number of a page in the arena, or one of the first two values, which
 * are no pages.
 */
typedef uint32_t page_t;
#define PAGE_HOLE ((page_t) 0)  /* nothing there, reads as zeros */
#define PAGE_ZERO ((page_t) 1)  /* allocated, reads as zeros, takes no memory */
#define PAGE_FIRST ((page_t) 2)

/* The smallest and the largest limit, in bytes.  The largest is what 32-bit
 * numbers reach, 16 TiB, less 1 GiB for the slack of A5.
 */
#define ARENA_MIN_LIMIT (UINT64_C (1) << 20)
#define ARENA_MAX_LIMIT ((UINT64_C (1) << 44) - (UINT64_C (1) << 30))

/* How many pages arena_reserve grants beyond the limit to those who make room
 * by it: a trim in a clone must copy a node to be able to free pages.
 */
#define ARENA_OVERDRAFT_PAGES 1024

struct arena {
  char *base;                   /* address of page 0 */
  _Atomic uint32_t *refs;       /* the reference count of each page */
  _Atomic uint32_t *birth;      /* radix.h: of a data page, see Quotas; of
                                 * a leaf, see The guess */
  struct arena_private *priv;
};

struct arena_stats {
  uint64_t limit;               /* bytes */
  uint64_t used;                /* bytes in use, retired or reserved */
  uint64_t cached;              /* bytes that are free, but still resident */
  uint64_t retired;             /* references waiting for a grace period */
  uint64_t grace_periods;       /* how many the arena has waited for */
};

/* References that a thread gives up, collected in a reader section or under a
 * lock and handed over by arena_retire.  Zeroed is empty.
 */
#define RETIRE_MAX 256
struct retired {
  unsigned n;
  uint64_t ref[RETIRE_MAX];     /* page number, and its level above it */
};

/* Reserve address space for limit bytes (rounded up to a page).
 * Returns NULL with errno EINVAL (limit out of range) or ENOMEM.
 */
struct arena *arena_create (uint64_t limit);

/* Nobody may be using the arena, and arena_start's thread must have been
 * stopped.
 */
void arena_destroy (struct arena *a);

/* Until arena_start nobody needs the pages: take them away.  For a process that
 * may call mlockall(2) in between, as nbdkit --swap does: that would touch the
 * whole range.  Returns 0, or -1 with errno of mprotect(2).
 */
int arena_hide (struct arena *a);

/* Start and stop the thread that reclaims memory in the background.  Threads
 * do not survive fork(2), so start it after the last one.  Without it memory
 * is reclaimed when somebody needs it.  If the process has locked its memory,
 * pages are locked from now on when they are first touched.
 * Returns 0, or -1 with errno of mprotect(2), mlock2(2) or pthread_create(3).
 */
int arena_start (struct arena *a);
void arena_stop (struct arena *a);

/* Take credit for n pages, 0 <= n.  With overdraft, which is for those who
 * need pages to free others, the limit is exceeded by up to
 * ARENA_OVERDRAFT_PAGES.  Waits for what is being reclaimed before it refuses.
 * Returns 0, or -1 with errno ENOSPC.
 */
int arena_reserve (struct arena *a, uint64_t n, bool overdraft);

/* Give back credit that was not spent. */
void arena_unreserve (struct arena *a, uint64_t n);

/* Spend credit for n pages that the caller has reserved.  The pages are the
 * caller's own, with a reference count of 1.  Where it can it gives adjacent
 * ones in ascending order.  With zeroed they read as zeros, else their content
 * is undefined.
 * Returns how many pages it got; fewer than n only if the caller had no credit.
 * Waits for a chunk that another thread populates or gives back, never for a
 * grace period.
 */
unsigned arena_alloc (struct arena *a, unsigned n, bool zeroed, page_t *pages);

/* Free a page that was never linked anywhere (so no reader can know it), and
 * turn it into credit for the caller again.
 */
void arena_free_unlinked (struct arena *a, page_t page);

/* Hand over references: after a grace period each one is counted down, and
 * where the count reaches 0 the page is freed, with the references that it
 * holds itself if it is a node.  Empties the list.
 */
void arena_retire (struct arena *a, struct retired *r);

/* Wait until all that was retired before the call has been freed. */
void arena_reclaim (struct arena *a);

/* Return free memory to the system now, but for keep bytes. */
void arena_give_back (struct arena *a, uint64_t keep);

void arena_stats (struct arena *a, struct arena_stats *stats);

/* Check A1, A2, A5 and A6 while nobody else uses the arena; abort with a
 * message if one is broken.  in_use: the number of pages that the caller can
 * reach.
 */
void arena_check (struct arena *a, uint64_t in_use);

static inline void *
arena_addr (const struct arena *a, page_t page)
{
  return a->base + ((uint64_t) page << PAGE_SHIFT);
}

/* The number of references to a page.  Acquire: pairs with the release of
 * arena_ref_drop, so that who sees 1 also sees the counts of the page's
 * children as they were raised by whoever gave up the other reference.
 */
static inline uint32_t
arena_refs (const struct arena *a, page_t page)
{
  return atomic_load_explicit (&a->refs[page], memory_order_acquire);
}

/* Add a reference; the caller must know that the page stays (it holds one, or
 * is in a reader section).  Returns the count before.
 */
static inline uint32_t
arena_ref_add (const struct arena *a, page_t page)
{
  return atomic_fetch_add_explicit (&a->refs[page], 1, memory_order_acq_rel);
}

/* Add a reference to each of two neighbours, the first of which has an even
 * number: one locked instruction instead of two.  Counts do not overflow into
 * each other, for there are fewer slots than 2^32.
 */
static inline void
arena_ref_add_two (const struct arena *a, page_t page)
{
  typedef uint64_t __attribute__ ((may_alias)) two_counts;

  __atomic_fetch_add ((two_counts *) &a->refs[page],
                      UINT64_C (1) << 32 | 1, __ATOMIC_ACQ_REL);
}

/* Take back a reference that arena_ref_add made and nobody has seen. */
static inline void
arena_ref_undo (const struct arena *a, page_t page)
{
  atomic_fetch_sub_explicit (&a->refs[page], 1, memory_order_release);
}

/* Remember that a reference is given up.  level: 0 for a data page, for a node
 * the number of levels below it.  The list must have room.
 */
static inline void
retire (struct retired *r, page_t page, unsigned level)
{
  assert (r->n < RETIRE_MAX && page >= PAGE_FIRST);
  r->ref[r->n++] = (uint64_t) level << 32 | page;
}

#endif /* MRAMDISK_ARENA_H */
