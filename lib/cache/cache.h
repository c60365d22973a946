/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache: the upstream is the origin, the plugin beneath keeps blocks of it.
 *
 * Design
 *
 * Byte x of the origin is kept at byte x of the local side, so that is as large
 * as the origin at least, but need not have the memory for it.  For each block
 * (4 KiB; more if a side's minimum block size is larger) there is one word that
 * says what the local side holds, in a sparse table of leaves that never go:
 *
 *                     fill, write
 *          ABSENT ------------------> VALID <----------------+
 *            ^                          |                    |
 *            |   evict, trim, failures  |  write (writeback) | write_back_one
 *            +--------------------------+                    |
 *            |                          v                    |
 *            +----- write through --- DIRTY -----------------+
 *              (the local side fails)
 *
 * A word also counts how often the block has become ABSENT: its generation.  So
 * a read that finds all of its blocks VALID takes no lock: it reads the local
 * side, and then looks whether the words still say the same.
 *
 * Everything else works on a block under the range lock.  A read that misses
 * takes it, looks again, and reads from the origin what is still absent: of two
 * clients that miss the same block the second finds it there.
 *
 * Write-through: a write goes to the origin, then to the local side.
 * Writeback: a write goes to the local side, and the block into a queue (oldest
 * first), which is worked off by the workers when what is in it is too much or
 * too old; by a client that wants to write when it is full; and by a flush.
 * Zeroes, trims and writes with FUA go to the origin at once in both modes.
 *
 * The workers also read ahead for clients that read sequentially.
 *
 * The local side may fail, or be full: then blocks are evicted, or the request
 * goes to the origin alone.  Only if it cannot give back what it alone holds
 * (a dirty block) does the client see an error.
 *
 * Invariants
 *
 *   C1  A VALID block that is not DIRTY holds what the origin holds.
 *   C2  Local bytes of a block, and VALID and DIRTY of its word, change only
 *       under the exclusive range lock of the whole block.
 *   C3  VALID goes before the bytes do, and comes after them; whenever it goes,
 *       the generation changes.
 *   C4  A block that is DIRTY is QUEUED, or WRITING, or its range lock is held
 *       by who is about to queue it.  So a flush finds it.
 *   C5  A block is DIRTY until the origin has acknowledged its bytes; an error
 *       of the origin leaves it DIRTY.  A flush succeeds only if the origin has
 *       all that was DIRTY when it came, and was then flushed.
 *   C6  VALID blocks, with those that are being made so, are at most max; DIRTY
 *       ones at most dirty_max.
 *   C7  Each client flushes the origin for itself, so that the pool can tell
 *       each of them what was lost (plugins/mnbd/pool.h, M5 and M8).
 *
 * What is assumed: nobody else writes to the origin, or to the local side.
 *
 * Locking and lifetime.  Order: range lock (one at a time, but eviction tries
 * a second), clock lock, queue lock.  None but the range lock is held while
 * a side works, except that eviction trims under the clock lock.  Leaves stay
 * until cache_free.
 *
 * Thread-safety
 *   takes no lock:               cache_read of blocks that are VALID,
 *                                cache_figures
 *   takes the locks inside:      the other requests, cache_check
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

#include "mutex.h"
#include "side.h"

struct cache_options {
  struct side *local;           /* for the workers; clients bring their own */
  struct side *origin;
  bool writeback;
  uint64_t max;                 /* bytes; 0: as many as the local side takes */
  uint64_t dirty_max;           /* bytes */
  int64_t dirty_age;            /* ns */
  /* Say something, in one line.  May be called with any lock held. */
  void (*log) (void *opaque, const char *line);
  void *opaque;
};

/* The least that max and dirty_max may be: some blocks of the largest size. */
#define CACHE_LEAST (UINT64_C (1) << 20)

/* What has happened so far. */
struct cache_figures {
  uint64_t hits, misses;        /* reads: wholly from the local side, or not */
  uint64_t hit_bytes, miss_bytes;
  uint64_t fetched_bytes;       /* read from the origin, also ahead */
  uint64_t ahead_bytes;         /* read ahead */
  uint64_t ahead_used_bytes;    /* and then asked for */
  uint64_t writes, written_bytes;
  uint64_t writeback_bytes;     /* written to the origin later */
  uint64_t evicted_bytes;
  uint64_t uncached_bytes;      /* for which there was no room */
  uint64_t origin_errors, local_errors;
  uint64_t cached_bytes, dirty_bytes;   /* now */
};

struct cache;

/* A client's connection. */
struct cache_client {
  _Atomic uint64_t next;        /* where a sequential reader would go on */
  _Atomic uint32_t streak;      /* reads that did so */
  _Atomic uint64_t ahead;       /* up to where has been read ahead */
  struct mutex lock;
  uint32_t window GUARDED_BY (lock);    /* bytes to read ahead */
  struct side *origin;          /* its own way there, for flushes (C7) */
};

/* Can these two sides be a cache and its origin?  Returns false with a line
 * that says why not, to be freed by the caller (NULL: no memory).
 */
bool cache_can_be (const struct side_info *local,
                   const struct side_info *origin, char **why);

/* cache_can_be is true of the sides, which stay longer.  NULL with errno. */
struct cache *cache_new (const struct cache_options *options);

/* Write back and flush what is dirty, and end the workers.  Requests fail with
 * ESHUTDOWN from now on.  Returns 0, or -1 with errno when acknowledged writes
 * are lost with the cache.
 */
int cache_stop (struct cache *c);
void cache_free (struct cache *c);

void cache_client_init (struct cache_client *client, struct side *origin);
void cache_client_destroy (struct cache_client *client);

/* Requests, as those of a side (side.h).  local: the client's own. */
int cache_read (struct cache *c, struct cache_client *client,
                struct side *local, void *buf, uint32_t count,
                uint64_t offset);
int cache_write (struct cache *c, struct side *local, const void *buf,
                 uint32_t count, uint64_t offset, uint32_t flags);
int cache_zero (struct cache *c, struct side *local, uint32_t count,
                uint64_t offset, uint32_t flags);
int cache_trim (struct cache *c, struct side *local, uint32_t count,
                uint64_t offset, uint32_t flags);
int cache_flush (struct cache *c, struct cache_client *client,
                 struct side *local);
int cache_prefetch (struct cache *c, struct side *local, uint32_t count,
                    uint64_t offset);
int cache_extents (struct cache *c, struct side *local, uint32_t count,
                   uint64_t offset, uint32_t flags, side_extent_fn fn,
                   void *opaque);

void cache_figures (struct cache *c, struct cache_figures *figures);

/* Check the invariants that can be seen in the words; abort with a message if
 * one is broken.
 */
void cache_check (struct cache *c);

#endif /* MNBD_CACHE_H */
