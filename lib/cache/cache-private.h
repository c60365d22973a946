/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the cache share; cache.h says how it works. */

#ifndef MNBD_CACHE_PRIVATE_H
#define MNBD_CACHE_PRIVATE_H

#include <errno.h>
#include <pthread.h>

#include "base/clock.h"
#include "bdev/ranges.h"
#include "cache/cache.h"

/* ---------------------------------------------------------------- words */

/* The bits of a block's word.  VALID, DIRTY and LOST change under the range
 * lock (C2), QUEUED and WRITING under the queue lock, the others at any time.
 */
#define VALID 1u
#define DIRTY 2u
#define USED 4u                 /* read since the clock's hand last passed */
#define AHEAD 8u                /* read ahead; nobody has asked for it yet */
#define QUEUED 16u              /* in the queue, perhaps no longer DIRTY */
#define WRITING 32u             /* somebody is about to write it back */
#define LOST 64u                /* DIRTY, and the local bdev has lost it */
#define GENERATION 128u         /* 1 of the counter in the bits from here up */

/* While this part of a word stays the same, the local bytes mean the same. */
#define IDENTITY (~(GENERATION - 1) | VALID)

/* The words of 64 MiB (of blocks of 4 KiB) lie in one leaf of 64 KiB. */
#define LEAF_SHIFT 14
#define LEAF_WORDS (1u << LEAF_SHIFT)

struct leaf {
  struct leaf *next;            /* the leaf made before this one */
  uint64_t first;               /* block */
  _Atomic uint32_t valid;       /* words that are VALID */
  _Atomic uint32_t word[LEAF_WORDS];
};

/* -------------------------------------------------------------- statistics */

enum stat_kind {
  HITS, MISSES, HIT_BYTES, MISS_BYTES, FETCHED, AHEAD_FETCHED, AHEAD_USED,
  WRITES, WRITTEN, WRITTEN_BACK, EVICTED, UNCACHED, ORIGIN_ERRORS,
  LOCAL_ERRORS,
};
#define STAT_KINDS (LOCAL_ERRORS + 1)

/* Each thread counts in one of these, so that hits share no cache line. */
#define SLOTS 16
struct slot {
  _Alignas (64) _Atomic uint64_t n[STAT_KINDS];
};

/* ---------------------------------------------------------------- queue */

/* A block that became dirty. */
struct queued {
  uint64_t block;
  uint64_t seq;                 /* grows from entry to entry */
  int64_t since;                /* clock_now */
};

/* A thread that writes a run back. */
struct in_flight {
  uint64_t seq;                 /* of the oldest block */
  struct in_flight *prev, *next;
};

struct queue {
  struct mutex lock;
  pthread_cond_t work;          /* there is something for the workers */
  pthread_cond_t done;          /* a run was written back, or failed */
  struct queued *ring GUARDED_BY (lock);
  size_t size, first, len GUARDED_BY (lock);
  size_t promised GUARDED_BY (lock);    /* room reserved for pushes to come */
  uint64_t next_seq GUARDED_BY (lock);
  /* The last refused block came before this seq, and none before it became
   * dirty earlier.
   */
  uint64_t refused GUARDED_BY (lock);
  int64_t refused_since GUARDED_BY (lock);
  struct in_flight *in_flight GUARDED_BY (lock);
  uint64_t failures GUARDED_BY (lock);
  int error GUARDED_BY (lock);          /* errno of the last */
  int64_t retry_at GUARDED_BY (lock);   /* for the workers, after a write that
                                         * failed or was given up */
  int64_t log_at GUARDED_BY (lock);     /* when the next may be logged */
  unsigned idle GUARDED_BY (lock);      /* workers that wait for work … */
  unsigned timed GUARDED_BY (lock);     /* … and of these look again by time */
  unsigned flushing GUARDED_BY (lock);  /* flushes that wait */
};

/* No block: above all of them. */
#define NO_BLOCK UINT64_MAX

/* How much is written back at once, in bytes. */
#define RUN_BYTES (256u << 10)

/* ----------------------------------------------------------- read-ahead */

#define CHUNK (256u << 10)      /* what a worker reads ahead at once */
#define LEAST_WINDOW CHUNK
#define MOST_WINDOW (4u << 20)
/* ... but at most this part of the cache, so that the data is still cached when
 * the client reads it.
 */
#define WINDOW_PART 16
#define MOST_CHUNKS 64          /* that wait for a worker */

/* Enough for 200 MB/s from an origin 10 ms away. */
#define WORKERS 8

/* ---------------------------------------------------------------- cache */

struct cache {
  struct cache_options o;
  struct bdev *local, *origin;
  uint64_t size;                /* bytes */
  uint32_t block;               /* bytes */
  unsigned shift;               /* log2 of block */
  uint64_t blocks;
  uint64_t max, dirty_max;      /* blocks; max 0: no limit */
  uint64_t run;                 /* blocks that are written back together */

  struct ranges ranges;

  _Atomic (struct leaf *) *directory;   /* by block >> LEAF_SHIFT */
  size_t directory_bytes;
  struct mutex grow_lock;
  _Atomic (struct leaf *) leaves; /* the newest */

  _Atomic uint64_t cached;      /* blocks; with room_take (C6) */
  _Atomic uint64_t full_at;     /* cached when the local bdev was full */
  _Atomic uint64_t dirty;       /* blocks; with dirty_take (C6) */

  struct mutex clock_lock;
  struct leaf *hand GUARDED_BY (clock_lock);
  uint32_t hand_word GUARDED_BY (clock_lock);

  struct queue q;               /* its lock guards the rest, too */
  uint64_t chunk[MOST_CHUNKS];  /* offsets */
  unsigned first_chunk, chunks;
  pthread_t worker[WORKERS];
  unsigned workers;
  bool ending;

  _Atomic bool stopped;
  /* The local bdev is smaller than it was.  A block that it turned out not to
   * have, which forget_cut_off has not dealt with yet; and the first that it
   * did not have when that was last done.  Or NO_BLOCK.
   */
  _Atomic uint64_t missing, cut;
  _Atomic bool lost;            /* some blocks are LOST, or were */
  struct slot slot[SLOTS];
};

/* table.c: words, room, eviction */

int table_init (struct cache *c);
void table_free (struct cache *c);

/* A block's word.  NULL if no block of its leaf was ever VALID or, with make,
 * if there is no memory.
 */
_Atomic uint32_t *table_word (struct cache *c, uint64_t block);
_Atomic uint32_t *table_make_word (struct cache *c, uint64_t block);

/* The word's value: 0 where there is none. */
static inline uint32_t
state (struct cache *c, uint64_t block)
{
  _Atomic uint32_t *w = table_word (c, block);

  /* Pairs with the store that made the block VALID: its bytes are there. */
  return w ? atomic_load_explicit (w, memory_order_acquire) : 0;
}

/* The first block from block to end that has a leaf. */
uint64_t table_skip (struct cache *c, uint64_t block, uint64_t end);

/* Under the range lock: mark the block VALID.  Its bytes are there; room is
 * needed.
 */
void table_set_valid (struct cache *c, uint64_t block, uint32_t bits);

/* Under the range lock: forget these blocks (C3), and trim their bytes in the
 * local bdev.  keep_dirty: forget only blocks that the origin has, too.
 */
void table_forget (struct cache *c, struct bdev *local, uint64_t block,
                   uint64_t end, bool keep_dirty);

/* Under the range lock of the whole disk: forget all blocks that are not dirty.
 */
void table_forget_all (struct cache *c, struct bdev *local);

/* Under the range lock: the origin has this block's bytes. */
void table_clean (struct cache *c, uint64_t block);

/* Under the range lock: the local bdev has all of this block, LOST or not. */
void table_found (struct cache *c, uint64_t block);

/* Under the range lock of the whole disk: all dirty blocks from this one on are
 * LOST.
 */
void table_lose (struct cache *c, uint64_t block);

/* Make room for n more blocks, by eviction if necessary.  table_set_valid of an
 * ABSENT block uses one up; the caller gives back the rest.
 */
bool room_take (struct cache *c, struct bdev *local, uint64_t n);
void room_give (struct cache *c, uint64_t n);

/* Evict about n blocks that are not dirty; the caller may hold one range.
 * Returns how many were evicted.
 */
uint64_t evict (struct cache *c, struct bdev *local, uint64_t n);

/* cache.c: statistics and blocks */

void count (struct cache *c, enum stat_kind stat_kind, uint64_t n);

/* The bytes of a block that are on the disk: the last block may be short. */
static inline uint64_t
block_start (const struct cache *c, uint64_t block)
{
  return block << c->shift;
}

static inline uint64_t
block_end (const struct cache *c, uint64_t block)
{
  uint64_t end = (block + 1) << c->shift;

  return end < c->size ? end : c->size;
}

/* How many blocks one zero or trim of the local bdev may have: those of a leaf,
 * and less than 4 GiB.
 */
static inline uint64_t
most_blocks (const struct cache *c)
{
  uint64_t most = UINT32_MAX >> c->shift;

  return most < LEAF_WORDS ? most : LEAF_WORDS;
}

/* The blocks that a request touches: from first to before end. */
struct blocks {
  uint64_t first, end;
};

/* Returns 0; or -1 with errno ESHUTDOWN after the cache was stopped. */
static inline int
check_running (const struct cache *c)
{
  if (!atomic_load_explicit (&c->stopped, memory_order_relaxed))
    return 0;
  errno = ESHUTDOWN;
  return -1;
}

static inline struct blocks
touched (const struct cache *c, uint64_t offset, uint64_t count)
{
  return (struct blocks) { offset >> c->shift,
                           ((offset + count - 1) >> c->shift) + 1 };
}

static inline void
lock_blocks (struct cache *c, struct range *range, struct blocks b)
{
  ranges_lock (&c->ranges, range, b.first << c->shift,
               (b.end - b.first) << c->shift, RANGE_EXCLUSIVE);
}

/* io.c: the two disks */

/* Of what was stored there.  Fails if a block is LOST. */
int local_read (struct cache *c, struct bdev *local, void *buf,
                uint32_t count, uint64_t offset);
/* Under the range lock.  If the local bdev is full, it makes room, once. */
int local_write (struct cache *c, struct bdev *local, const void *buf,
                 uint32_t count, uint64_t offset);
int local_zero (struct cache *c, struct bdev *local, struct blocks b);
void local_drop (struct cache *c, struct bdev *local, struct blocks b);

/* Has the local bdev this block?  buf has room for it. */
bool local_has (struct cache *c, struct bdev *local, uint64_t block,
                char *buf);

int origin_read (struct cache *c, void *buf, uint32_t count,
                 uint64_t offset);
/* With FUA, even if the origin does not support it. */
int origin_write (struct cache *c, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags);
int origin_zero (struct cache *c, uint32_t count, uint64_t offset,
                 uint32_t flags);
int origin_trim (struct cache *c, uint32_t count, uint64_t offset,
                 uint32_t flags);
int origin_flush (struct cache *c, struct bdev *origin);

/* read.c */

/* Counts the blocks of b that are not VALID.  Without a lock this is a guess.
 */
uint64_t count_absent (struct cache *c, struct blocks b);

/* Read absent blocks from the origin, fill the local bdev, and copy all bytes
 * to buf. bits: set in the words of the new blocks.
 */
int read_miss (struct cache *c, struct bdev *local, void *buf,
               uint32_t count, uint64_t offset, uint32_t bits);

/* After any request, without a range lock: if the local bdev turned out to be
 * smaller than it was, forget what it cannot have.
 */
void forget_cut_off (struct cache *c, struct bdev *local);

static inline void
check_cut (struct cache *c, struct bdev *local)
{
  int err = errno;

  if (atomic_load_explicit (&c->missing, memory_order_relaxed) != NO_BLOCK)
    forget_cut_off (c, local);
  errno = err;
}

/* Under the range lock: read one absent block from the origin and keep it,
 * which uses up one of *room.
 */
int fill_block (struct cache *c, struct bdev *local, uint64_t block,
                uint64_t *room);

/* writeback.c */

int queue_init (struct cache *c);
void queue_free (struct cache *c);

/* Reserve n blocks of the dirty limit.  Waits while there are too many dirty
 * blocks.  Returns false if it cannot wait now, or has waited long enough.
 */
bool dirty_take (struct cache *c, struct bdev *local, uint64_t n);
/* Call it afterwards, with how many were not used. */
void dirty_done (struct cache *c, uint64_t taken, uint64_t unused);
/* This many blocks are no longer dirty. */
void dirty_give (struct cache *c, uint64_t n);

/* Under the range lock, after the bytes were stored: mark these blocks VALID
 * and DIRTY.  Returns how many were not DIRTY before.
 */
uint64_t dirty_mark (struct cache *c, struct blocks b, uint64_t *room);

/* Write back all blocks that are dirty now.  Returns 0, or -1 with errno. */
int write_back_all (struct cache *c, struct bdev *local)
  EXCLUDES (&c->q.lock);

/* The same at the end: errors do not stop it, so it writes all that it can. */
int write_back_last (struct cache *c, struct bdev *local)
  EXCLUDES (&c->q.lock);

/* Is there work for a worker?  If not, *until says when to look again. */
bool writeback_due (struct cache *c, int64_t *until) REQUIRES (&c->q.lock);

/* Write back the oldest run.  Returns 1; 0 if no run is older than seq; or -1
 * with errno.
 */
int write_back_one (struct cache *c, struct bdev *local, uint64_t seq)
  EXCLUDES (&c->q.lock);

/* workers.c */

/* There is work: wake a worker, or start another one if none is idle. */
void workers_wake (struct cache *c) REQUIRES (&c->q.lock);
void workers_end (struct cache *c) EXCLUDES (&c->q.lock);

/* A client reads this range: read ahead for it? */
void read_ahead (struct cache *c, struct cache_client *client,
                 uint64_t offset, uint32_t count);

#endif /* MNBD_CACHE_PRIVATE_H */
