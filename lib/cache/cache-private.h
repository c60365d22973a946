/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the cache share; cache.h says how it works. */

#ifndef MNBD_CACHE_PRIVATE_H
#define MNBD_CACHE_PRIVATE_H

#include <errno.h>
#include <pthread.h>

#include "cache.h"
#include "clock.h"
#include "ranges.h"

/* ---------------------------------------------------------------- words */

/* The bits of a block's word.  VALID and DIRTY change under the range lock
 * (C2), QUEUED and WRITING under the queue lock, the others at any time.
 */
#define VALID 1u
#define DIRTY 2u
#define USED 4u                 /* read since the clock's hand came by */
#define AHEAD 8u                /* read ahead; nobody has asked for it yet */
#define QUEUED 16u              /* in the queue, perhaps no longer DIRTY */
#define WRITING 32u             /* somebody is about to write it back */
#define GENERATION 64u          /* 1 of the counter in the bits from here up */

/* While this part of a word stays the same, so do the local bytes' meaning. */
#define IDENTITY (~(GENERATION - 1) | VALID)

/* The words of 64 MiB (of blocks of 4 KiB) lie in one leaf of 64 KiB. */
#define LEAF_SHIFT 14
#define LEAF_WORDS (1u << LEAF_SHIFT)

struct leaf {
  struct leaf *next;            /* the one that was made before it */
  uint64_t first;               /* block */
  _Atomic uint32_t valid;       /* words that are VALID */
  _Atomic uint32_t word[LEAF_WORDS];
};

/* -------------------------------------------------------------- figures */

enum figure {
  HITS, MISSES, HIT_BYTES, MISS_BYTES, FETCHED, AHEAD_FETCHED, AHEAD_USED,
  WRITES, WRITTEN, WRITTEN_BACK, EVICTED, UNCACHED, ORIGIN_ERRORS,
  LOCAL_ERRORS,
};
#define FIGURES (LOCAL_ERRORS + 1)

/* Each thread counts in one of these, so that hits share no cache line. */
#define SLOTS 16
struct slot {
  _Alignas (64) _Atomic uint64_t n[FIGURES];
};

/* ---------------------------------------------------------------- queue */

/* A block that was made dirty. */
struct queued {
  uint64_t block;
  uint64_t seq;                 /* grows from entry to entry */
  int64_t since;                /* clock_now */
};

/* Somebody who writes a run back. */
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
  size_t promised GUARDED_BY (lock);    /* room for those who will push */
  uint64_t next_seq GUARDED_BY (lock);
  struct in_flight *in_flight GUARDED_BY (lock);
  uint64_t failures GUARDED_BY (lock);
  int error GUARDED_BY (lock);          /* errno of the last */
  int64_t retry_at GUARDED_BY (lock);   /* for the workers, after a failure */
  int64_t log_at GUARDED_BY (lock);     /* when the next may be logged */
  unsigned idle GUARDED_BY (lock);      /* workers that wait for work … */
  unsigned timed GUARDED_BY (lock);     /* … and of these look again by time */
  unsigned flushing GUARDED_BY (lock);  /* flushes that wait */
};

/* How much is written back at once, in bytes. */
#define RUN_BYTES (256u << 10)

/* ----------------------------------------------------------- read-ahead */

#define CHUNK (256u << 10)      /* what a worker reads ahead at once */
#define LEAST_WINDOW CHUNK
#define MOST_WINDOW (4u << 20)
/* ... but not more than this part of the cache, so that it is still there when
 * the client comes.
 */
#define WINDOW_PART 16
#define MOST_CHUNKS 64          /* that wait for a worker */

/* Enough for 200 MB/s from an origin 10 ms away. */
#define WORKERS 8

/* ---------------------------------------------------------------- cache */

struct cache {
  struct cache_options o;
  struct side *local, *origin;
  uint64_t size;                /* bytes */
  uint32_t block;               /* bytes */
  unsigned shift;               /* log2 of block */
  uint64_t blocks;
  uint64_t max, dirty_max;      /* blocks; max 0: no limit */
  uint64_t run;                 /* blocks that are written back at once */

  struct ranges ranges;

  _Atomic (struct leaf *) *directory;   /* by block >> LEAF_SHIFT */
  size_t directory_bytes;
  struct mutex grow_lock;
  _Atomic (struct leaf *) leaves; /* the newest */

  _Atomic uint64_t cached;      /* blocks; with room_take (C6) */
  _Atomic uint64_t full_at;     /* what it was when the local side was full */
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
  _Atomic bool shrunk;          /* the local side is smaller than it was */
  struct slot slot[SLOTS];
};

/* cache-table.c: words, room, eviction */

int table_init (struct cache *c);
void table_free (struct cache *c);

/* A block's word; NULL if no block of its leaf was ever VALID, or (make) there
 * is no memory.
 */
_Atomic uint32_t *table_word (struct cache *c, uint64_t block);
_Atomic uint32_t *table_make_word (struct cache *c, uint64_t block);

/* The word's value: 0 where there is none. */
static inline uint32_t
state (struct cache *c, uint64_t block)
{
  _Atomic uint32_t *w = table_word (c, block);

  /* Pairs with the store of who made it VALID: the bytes are there. */
  return w ? atomic_load_explicit (w, memory_order_acquire) : 0;
}

/* The first block from block to end that has a leaf. */
uint64_t table_skip (struct cache *c, uint64_t block, uint64_t end);

/* Under the range lock: the bytes are there; needs room. */
void table_set_valid (struct cache *c, uint64_t block, uint32_t bits);

/* Under the range lock: forget these blocks (C3), and let the local side forget
 * their bytes.  keep_dirty: only those that the origin has, too.
 */
void table_forget (struct cache *c, struct side *local, uint64_t block,
                   uint64_t end, bool keep_dirty);

/* Under the range lock of all: forget what is not dirty. */
void table_forget_all (struct cache *c, struct side *local);

/* Under the range lock: the origin has this block's bytes. */
void table_clean (struct cache *c, uint64_t block);

/* Make room for n more blocks, by eviction if need be.  It is used up by
 * table_set_valid of a block that was ABSENT; the rest is given back.
 */
bool room_take (struct cache *c, struct side *local, uint64_t n);
void room_give (struct cache *c, uint64_t n);

/* Evict about n blocks, none of them dirty; the caller may hold one range.
 * Returns how many.
 */
uint64_t evict (struct cache *c, struct side *local, uint64_t n);

/* cache.c: figures and blocks */

void count (struct cache *c, enum figure figure, uint64_t n);

/* The bytes of a block that are on the disk: the last may be short. */
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

/* The blocks that a request touches: from first to before end. */
struct blocks {
  uint64_t first, end;
};

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

/* cache-io.c: the two sides */

int local_read (struct cache *c, struct side *local, void *buf,
                uint32_t count, uint64_t offset);
/* Under the range lock.  If the local side is full it makes room, once. */
int local_write (struct cache *c, struct side *local, const void *buf,
                 uint32_t count, uint64_t offset);
int local_zero (struct cache *c, struct side *local, struct blocks b);
void local_drop (struct cache *c, struct side *local, struct blocks b);

int origin_read (struct cache *c, void *buf, uint32_t count,
                 uint64_t offset);
/* With FUA also where the origin does not know it. */
int origin_write (struct cache *c, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags);
int origin_zero (struct cache *c, uint32_t count, uint64_t offset,
                 uint32_t flags);
int origin_trim (struct cache *c, uint32_t count, uint64_t offset,
                 uint32_t flags);
int origin_flush (struct cache *c, struct side *origin);

/* cache-read.c */

/* Blocks of b that are not VALID; without a lock that is a guess. */
uint64_t count_absent (struct cache *c, struct blocks b);

/* Read what is absent from the origin, fill the local side, and copy all to
 * buf.  bits: for the words of the new blocks.
 */
int read_miss (struct cache *c, struct side *local, void *buf,
               uint32_t count, uint64_t offset, uint32_t bits);

/* Under the range lock: read one absent block from the origin and keep it, for
 * which *room is used.
 */
int fill_block (struct cache *c, struct side *local, uint64_t block,
                uint64_t *room);

/* cache-writeback.c */

int queue_init (struct cache *c);
void queue_free (struct cache *c);

/* Be allowed to make n blocks dirty: waits until there are not too many.
 * Returns false if that cannot be now.
 */
bool dirty_take (struct cache *c, struct side *local, uint64_t n);
/* Afterwards, with how many were not used. */
void dirty_done (struct cache *c, uint64_t taken, uint64_t unused);
/* So many are not dirty any more. */
void dirty_give (struct cache *c, uint64_t n);

/* Under the range lock, after the bytes: make these VALID and DIRTY.  Returns
 * how many were not DIRTY before.
 */
uint64_t dirty_mark (struct cache *c, struct blocks b, uint64_t *room);

/* Write back all that is dirty now.  Returns 0, or -1 with errno. */
int write_back_all (struct cache *c, struct side *local)
  EXCLUDES (&c->q.lock);

/* The same at the end: what can be written is, whatever fails. */
int write_back_last (struct cache *c, struct side *local)
  EXCLUDES (&c->q.lock);

/* Is there work for a worker?  If not, *until says when to look again. */
bool writeback_due (struct cache *c, int64_t *until) REQUIRES (&c->q.lock);

/* Write back the oldest run.  Returns 1; 0 if there is none that is older than
 * seq; or -1 with errno.
 */
int write_back_one (struct cache *c, struct side *local, uint64_t seq)
  EXCLUDES (&c->q.lock);

/* cache-workers.c */

/* There is work: wake a worker, or start one more if none is idle. */
void workers_wake (struct cache *c) REQUIRES (&c->q.lock);
void workers_end (struct cache *c) EXCLUDES (&c->q.lock);

/* A client reads this: read ahead for it? */
void read_ahead (struct cache *c, struct cache_client *client,
                 uint64_t offset, uint32_t count);

#endif /* MNBD_CACHE_PRIVATE_H */
