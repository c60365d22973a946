/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache: the upstream is the origin, and the plugin beneath stores blocks
 * of it.
 *
 * Design
 *
 * Byte x of the origin is kept at byte x of the local bdev.  So the local bdev
 * is at least as large as the origin, but needs no memory for all of it.  For
 * each block (4 KiB; more if a bdev's minimum block size is larger) there is
 * one word that says what the local bdev holds, in a sparse table of leaves
 * that never go:
 *
 *                     fill, write
 *          ABSENT ------------------> VALID <----------------+
 *            ^                          |                    |
 *            |   evict, trim, failures  |  write (writeback) | write_back_one
 *            +--------------------------+                    |
 *            |                          v                    |
 *            +----- write through --- DIRTY -----------------+
 *              (the local bdev fails)
 *
 * A word also counts how often the block has become ABSENT: its generation.  So
 * a read that finds all of its blocks VALID takes no lock: it reads the local
 * bdev, and then checks that the words are unchanged.
 *
 * Everything else works on a block under the range lock.  A read that misses
 * takes the lock, looks again, and reads what is still absent from the origin.
 * If two clients miss the same block, the second finds it cached.
 *
 * Write-through: a write goes to the origin, then to the local bdev.
 * Writeback: a write goes to the local bdev, and the block into a queue (oldest
 * first).  The workers write back the queue when it holds too much or its
 * entries are too old.  A client that wants to write while the queue is full
 * does so, too, and so does a flush.  Zeroes, trims and writes with FUA go to
 * the origin at once in both modes.
 *
 * The workers also read ahead for clients that read sequentially.
 *
 * If the local bdev fails or is full, blocks are evicted, or the request goes
 * to the origin alone.  The client gets an error only if the local bdev cannot
 * read a dirty block, which the origin does not have.  A local bdev that was
 * made smaller has zeros when it grows again.  So once that was noticed, dirty
 * blocks that were cut off are LOST: they cannot be read, nor written back,
 * until all of their bytes were written again.
 *
 * Invariants
 *
 *   C1  A VALID block that is not DIRTY holds what the origin holds.  When the
 *       origin loses writes, that is true again after cache_forget.
 *   C2  Local bytes of a block, and VALID and DIRTY of its word, change only
 *       under the exclusive range lock of the whole block.
 *   C3  VALID is cleared before the bytes go, and set after they have come.
 *       Whenever it is cleared, the generation changes.
 *   C4  A DIRTY block is QUEUED, or WRITING, or the thread that is about to
 *       queue it holds its range lock.  So a flush finds it.
 *   C5  A block is DIRTY until the origin has acknowledged its bytes; an error
 *       of the origin leaves it DIRTY.  A flush succeeds only if the origin has
 *       all blocks that were DIRTY when the flush came, and was flushed after
 *       that.
 *   C6  There are at most max VALID blocks, including those about to become
 *       VALID, and at most dirty_max DIRTY blocks.
 *   C7  Each client flushes the origin for itself, so that the pool can tell
 *       each of them what was lost (lib/nbd/pool.h, M5 and M8).
 *
 * Assumption: nobody else writes to the origin or to the local bdev.
 *
 * Locking and lifetime.  Order: range lock (one at a time, but eviction tries a
 * second), clock lock, queue lock.  While a bdev works, only the range lock is
 * held, except that eviction trims under the clock lock.  Leaves stay until
 * cache_free.
 *
 * Thread-safety
 *   takes no lock:               cache_read of blocks that are VALID,
 *                                cache_stats
 *   takes the locks inside:      the other requests, cache_forget, cache_check
 *   wants to be alone:           cache_new, cache_free; cache_stop is called
 *                                once, and requests may still be running
 *
 * Knows nothing of nbdkit.
 */

#ifndef MNBD_CACHE_H
#define MNBD_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "bdev/bdev.h"

struct cache_options {
  struct bdev *local;           /* for the workers; clients bring their own */
  struct bdev *origin;
  bool writeback;
  uint64_t max;                 /* bytes; 0: as many as the local bdev holds */
  uint64_t dirty_max;           /* bytes */
  int64_t dirty_age;            /* ns */
  /* Log one line.  May be called with any lock held. */
  void (*log) (void *opaque, const char *line);
  void *opaque;
};

/* The minimum of max and dirty_max: some blocks of the largest size. */
#define CACHE_LEAST (UINT64_C (1) << 20)

/* Statistics so far. */
struct cache_stats {
  uint64_t hits, misses;        /* reads: wholly from the local bdev, or not */
  uint64_t hit_bytes, miss_bytes;
  uint64_t fetched_bytes;       /* read from the origin, also ahead */
  uint64_t ahead_bytes;         /* read ahead */
  uint64_t ahead_used_bytes;    /* of these, read by a client later */
  uint64_t writes, written_bytes;
  uint64_t writeback_bytes;     /* written to the origin later */
  uint64_t evicted_bytes;
  uint64_t uncached_bytes;      /* not cached, because there was no room */
  uint64_t origin_errors, local_errors;
  uint64_t cached_bytes, dirty_bytes;   /* now */
};

struct cache;

/* A client's connection. */
struct cache_client {
  _Atomic uint64_t next;        /* where a sequential reader would continue */
  _Atomic uint32_t streak;      /* reads that did so */
  _Atomic uint64_t ahead;       /* how far was read ahead */
  struct mutex lock;
  uint32_t window GUARDED_BY (lock);    /* bytes to read ahead */
  struct bdev *origin;          /* its own origin, for flushes (C7) */
};

/* Can these two bdevs be a cache and its origin?  If not, returns false with a
 * line that says why, which the caller frees (NULL: no memory).
 */
bool cache_can_be (const struct bdev_info *local,
                   const struct bdev_info *origin, char **why);

/* cache_can_be must be true for the bdevs, which outlive the cache.  Returns
 * NULL with errno.
 */
struct cache *cache_new (const struct cache_options *options);

/* Write back and flush what is dirty, and end the workers.  Requests fail with
 * ESHUTDOWN from now on, and so does a write that is under way and might leave
 * something dirty.  Returns 0, or -1 with errno if acknowledged writes are lost
 * with the cache.
 */
int cache_stop (struct cache *c);
void cache_free (struct cache *c);

void cache_client_init (struct cache_client *client, struct bdev *origin);
void cache_client_destroy (struct cache_client *client);

/* Requests, as for a bdev (bdev.h). local: the client's own bdev. */
int cache_read (struct cache *c, struct cache_client *client,
                struct bdev *local, void *buf, uint32_t count,
                uint64_t offset);
int cache_write (struct cache *c, struct bdev *local, const void *buf,
                 uint32_t count, uint64_t offset, uint32_t flags);
int cache_zero (struct cache *c, struct bdev *local, uint32_t count,
                uint64_t offset, uint32_t flags);
int cache_trim (struct cache *c, struct bdev *local, uint32_t count,
                uint64_t offset, uint32_t flags);
int cache_flush (struct cache *c, struct cache_client *client,
                 struct bdev *local);
int cache_prefetch (struct cache *c, struct bdev *local, uint32_t count,
                    uint64_t offset);
int cache_extents (struct cache *c, struct bdev *local, uint64_t count,
                   uint64_t offset, uint32_t flags, bdev_extent_fn fn,
                   void *opaque);

/* The origin may have lost writes that it had acknowledged: forget all that it
 * has, too.
 */
void cache_forget (struct cache *c, struct bdev *local);

void cache_stats (struct cache *c, struct cache_stats *stats);

/* Check the invariants that the words show.  Abort with a message if one is
 * broken.
 */
void cache_check (struct cache *c);

#endif /* MNBD_CACHE_H */
