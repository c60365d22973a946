/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: all the memory of all disks, in pages of 4 KiB.
 *
 * Design
 *
 * One range of address space is reserved at the start, large enough for the
 * limit, and never moves.  A page is identified by its 32-bit number in that
 * range; pages refer to each other only by number, so the range may be a file
 * that outlasts the process (arena_open; arena-layout.h describes it).  A table
 * beside the range has a reference count for each page.
 *
 * Pages are grouped into chunks of 2 MiB, the unit in which memory is taken
 * from the system and, where possible, returned.  Once the arena has some size,
 * a chunk is populated as one huge page, which costs 190 ns for each 4 KiB;
 * single page faults cost 1300 ns (bench/touch-bench).  Before, its pages are
 * touched one by one; once all are in use, the reclaimer makes them one huge
 * page.
 *
 * A page has one of three states:
 *
 *   free      in its chunk's bitmap, or in the cache of one thread; the
 *             reclaimer empties the caches of threads that have not allocated
 *             for a while
 *   in use    reachable from a root, or owned by the code that allocated it
 *   retired   unlinked, waiting for a grace period (see arena_retire)
 *
 * Memory is promised before it is used. arena_reserve takes credit for pages,
 * and is the only function that fails with ENOSPC; arena_alloc then spends the
 * credit.  So a request that may need pages can fail before it has changed
 * anything.
 *
 * Invariants
 *
 *   A1  promised == credit + (pages in use or retired) + (reserved, not yet
 *       allocated).  Without a file, promised is the limit; with a file, it
 *       grows up to the limit and shrinks with the space that was taken.
 *   A2  A page's reference count is 0 if and only if it is free.
 *   A3  A page that was ever linked is freed only by the reclaimer, after a
 *       grace period that began after the page was unlinked.
 *   A4  The count of a reference that was given up is also decremented only
 *       after that grace period: a count that falls to 1 allows a writer of
 *       another disk to store in place, so no reader may be left.
 *   A5  Thread caches hold at most SLACK_PAGES pages in total, and the range
 *       has that many pages beyond the limit and the overdraft: while there is
 *       credit, there is a free page, or one that is free in a moment.
 *   A6  A free page that is not marked dirty reads as zeros.
 *   A7  In a file, backed >= promised + (granted to caches) + overdraft, where
 *       backed is the number of pages that have space, each either in use or
 *       free and dirty.  So everything that is promised can be stored to, and
 *       no access raises SIGBUS.
 *
 * Thread-safety.  All functions may be called from any thread, except
 * arena_create, arena_open, arena_close_clean, arena_hide, arena_show,
 * arena_start, arena_stop and arena_destroy, during which no other call may
 * run.
 *   takes no lock:                arena_addr, arena_refs, arena_ref_*,
 *                                 arena_unreserve
 *   takes the arena's lock, and
 *     in a file space_lock:       arena_alloc, arena_free_unlinked, arena_stats
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

/* The number of a page in the arena; or one of the first two values, which are
 * not pages.
 */
typedef uint32_t page_t;
#define PAGE_HOLE ((page_t) 0)  /* no page, reads as zeros */
#define PAGE_ZERO ((page_t) 1)  /* allocated, reads as zeros, takes no memory */
#define PAGE_FIRST ((page_t) 2)

/* The smallest and the largest limit, in bytes.  The largest is what 32-bit
 * numbers reach, 16 TiB, less 1 GiB for the slack of A5.
 */
#define ARENA_MIN_LIMIT (UINT64_C (1) << 20)
#define ARENA_MAX_LIMIT ((UINT64_C (1) << 44) - (UINT64_C (1) << 30))

/* How many pages arena_reserve grants beyond the limit to operations that free
 * memory: a trim in a clone must copy a node before it can free pages.
 */
#define ARENA_OVERDRAFT_PAGES 1024

struct arena {
  char *base;                   /* address of page 0 */
  _Atomic uint32_t *refs;       /* the reference count of each page */
  _Atomic uint32_t *owner_generation;   /* radix.h: of a data page, see Quotas;
                                         * of a leaf, see The prefetch hint */
  /* See arena_set_pressure. */
  struct {
    uint64_t (*fn) (void *opaque, uint64_t n);
    void *opaque;
  } pressure[2];
  struct arena_private *priv;
};

struct arena_stats {
  uint64_t limit;               /* bytes */
  uint64_t used;                /* bytes in use, retired or reserved */
  uint64_t cached;              /* bytes that are free but still resident */
  uint64_t granted;             /* bytes that caches of threads may hold */
  uint64_t retired;             /* references waiting for a grace period */
  uint64_t grace_periods;       /* how many grace periods were waited for */
};

/* References that a thread gives up, collected in a reader section or under a
 * lock, and handed over by arena_retire.  All zeros is empty.
 */
#define RETIRE_MAX 256
struct retired {
  unsigned n;
  uint64_t ref[RETIRE_MAX];     /* page number; above it, the level */
};

/* Reserve address space for limit bytes (rounded up to a page).
 * Returns NULL with errno EINVAL (limit out of range) or ENOMEM.
 */
struct arena *arena_create (uint64_t limit);

/* What to open, and what to do about problems. */
struct arena_open_options {
  const char *path;
  uint64_t limit;               /* bytes */
  unsigned wait;                /* seconds to wait for another process that has
                                 * it */
  bool discard;                 /* start empty if it is from an earlier boot */
  bool salvage;                 /* give up damaged disks, keep the rest */
};

/* The same in a file, which is created if it does not exist.  Its content must
 * be recovered next (recover.h), before anything is allocated.  Returns NULL
 * with *error, which the caller frees: one line without the path, or NULL if
 * there was no memory for it.  The file is then unchanged.
 */
struct arena *arena_open (const struct arena_open_options *options,
                          char **error);

/* Write the file out and mark it clean.  No other call may run, and the thread
 * of arena_start must have been stopped.  Does nothing without a file.  Returns
 * 0, or -1 with errno of fsync(2).
 */
int arena_close_clean (struct arena *a);

/* The size of the file system of path, which need not exist, in bytes. 0: there
 * is no limit, or it is unknown.  Sets *in_memory to whether it is in memory.
 */
uint64_t arena_room (const char *path, bool *in_memory);

/* Whether path still names the file of the arena.  Also true if that cannot be
 * determined.
 */
bool arena_is_named (struct arena *a, const char *path);

/* Whether the file has no name any more: it goes with the process. */
bool arena_is_removed (struct arena *a);

/* The errno of the last failure to take space in the file; 0 if the last
 * attempt succeeded, or if there is no file.
 */
int arena_space_error (struct arena *a);

/* Why a call of the engine has failed with ENOSPC: the file system is full, or
 * the limit is reached.
 */
#define ARENA_NO_SPACE 160
const char *arena_no_space (struct arena *a, char buf[ARENA_NO_SPACE]);

/* Free the arena.  No other call may run, and the thread of arena_start must
 * have been stopped.
 */
void arena_destroy (struct arena *a);

/* Make the pages inaccessible until arena_show.  For a process that may call
 * mlockall(2) in between, as nbdkit --swap does: that would touch the whole
 * range.  If the process has locked its memory, pages are from arena_show on
 * locked when they are first touched.  Each returns 0, or -1 with errno of
 * mprotect(2), munlock(2) or mlock2(2).  If arena_show fails, nothing but
 * arena_destroy may follow.
 */
int arena_hide (struct arena *a);
int arena_show (struct arena *a);

/* Start and stop the thread that reclaims memory in the background.  Threads do
 * not survive fork(2), so start it after the last one.  Without the thread,
 * memory is reclaimed when it is needed.  A file for which arena_close_clean
 * was called is in use again.  Returns 0, or -1 with errno of msync(2) or
 * pthread_create(3).
 */
int arena_start (struct arena *a);
void arena_stop (struct arena *a);

/* Take credit for n pages, n >= 0.  With overdraft, for operations that need
 * pages to free others, the limit may be exceeded by up to
 * ARENA_OVERDRAFT_PAGES.  Waits for memory that is being reclaimed before it
 * fails.  Returns 0, or -1 with errno ENOSPC.
 */
int arena_reserve (struct arena *a, uint64_t n, bool overdraft);

/* Before credit is refused, ask fn for memory that can be had again: it retires
 * references to about n pages and returns to how many, 0 if there is nothing
 * left.  It is called in any thread, with any lock down to a tree's, outside of
 * reader sections, and takes no credit itself.  Those of the first rank are
 * asked for all that they have before those of the second.  To be set while
 * nobody else uses the arena; NULL: none.
 */
enum pressure { PRESSURE_FIRST, PRESSURE_SECOND };
void arena_set_pressure (struct arena *a, enum pressure rank,
                         uint64_t (*fn) (void *opaque, uint64_t n),
                         void *opaque);

/* Return credit that was not spent. */
void arena_unreserve (struct arena *a, uint64_t n);

/* Spend reserved credit for n pages.  The pages belong to the caller, with a
 * reference count of 1; adjacent pages come in ascending order where possible.
 * With zeroed they read as zeros, else their content is undefined.  Returns the
 * number of pages, which is less than n only if the caller had no credit.
 * Waits while another thread populates or returns a chunk, never for a grace
 * period.
 */
unsigned arena_alloc (struct arena *a, unsigned n, bool zeroed, page_t *pages);

/* Free a page that was never linked, so no reader can know it, and turn it back
 * into credit of the caller.
 */
void arena_free_unlinked (struct arena *a, page_t page);

/* Hand over references.  After a grace period, each count is decremented; a
 * page whose count reaches 0 is freed, and if it is a node, so are the
 * references that it holds.  Empties the list.
 */
void arena_retire (struct arena *a, struct retired *r);

/* Wait until everything that was retired before the call has been freed. */
void arena_reclaim (struct arena *a);

/* Return free memory to the system now, except for keep bytes. */
void arena_give_back (struct arena *a, uint64_t keep);

void arena_stats (struct arena *a, struct arena_stats *stats);

/* Check A1, A2, A5 and A6 while no other call runs; abort with a message if one
 * is broken. in_use: the number of pages that the caller can reach.
 */
void arena_check (struct arena *a, uint64_t in_use);

static inline void *
arena_addr (const struct arena *a, page_t page)
{
  return a->base + ((uint64_t) page << PAGE_SHIFT);
}

/* The number of references to a page.  Acquire: pairs with the release of
 * arena_ref_drop.  A thread that sees 1 also sees the counts of the page's
 * children as the owner of the other reference raised them.
 */
static inline uint32_t
arena_refs (const struct arena *a, page_t page)
{
  return atomic_load_explicit (&a->refs[page], memory_order_acquire);
}

/* Add a reference.  The caller must know that the page stays: it holds a
 * reference, or is in a reader section.  Returns the count before.
 */
static inline uint32_t
arena_ref_add (const struct arena *a, page_t page)
{
  return atomic_fetch_add_explicit (&a->refs[page], 1, memory_order_acq_rel);
}

/* Add a reference to each of two neighbours, the first of which has an even
 * number: one locked instruction instead of two.  Counts do not overflow into
 * each other, because there are fewer than 2^32 slots.
 */
static inline void
arena_ref_add_two (const struct arena *a, page_t page)
{
  typedef uint64_t __attribute__ ((may_alias)) two_counts;

  __atomic_fetch_add ((two_counts *) &a->refs[page],
                      UINT64_C (1) << 32 | 1, __ATOMIC_ACQ_REL);
}

/* Undo an arena_ref_add that nobody has seen. */
static inline void
arena_ref_undo (const struct arena *a, page_t page)
{
  atomic_fetch_sub_explicit (&a->refs[page], 1, memory_order_release);
}

/* Add a reference to the list. level: 0 for a data page, for a node the number
 * of levels below it.  The list must have room.
 */
static inline void
retire (struct retired *r, page_t page, unsigned level)
{
  assert (r->n < RETIRE_MAX && page >= PAGE_FIRST);
  r->ref[r->n++] = (uint64_t) level << 32 | page;
}

#endif /* MRAMDISK_ARENA_H */
