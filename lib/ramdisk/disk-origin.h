/* SPDX-License-Identifier: BSD-3-Clause */
/* An origin: the content of a block device, fetched page by page on demand.
 * Disks over it show its content wherever they were not written.
 *
 * Design
 *
 * An origin has a disk of its own, the cache: an ordinary disk of the engine
 * without a name.  A hole in it means "not fetched", PAGE_ZERO "reads as
 * zeros", and a page holds what was fetched.  The disks over the origin have
 * trees of their own, in which a hole means "look in the origin" up to
 * disk.origin_end, and nothing beyond it; ranges that such a disk zeroes or
 * trims are PAGE_ZERO.  A clone shares its root with its source as any clone
 * does, and has a reference to the same origin.
 *
 *     disk "vm-1"     [ hole | data | hole | zero ]   <- clones of one disk
 *     disk "vm-2"     [ hole | hole | data | hole ]
 *                        |      |             |
 *     the cache       [ page | hole | page | page ]   <- one for all of them
 *                               |
 *     the source               NBD                    <- struct bdev
 *
 * A fetch.  A thread that misses a page claims a run of pages in the table of
 * fetches, reads it from the source into a buffer, stores it in the cache, and
 * removes it from the table.  A thread that misses a claimed page waits for
 * that fetch and gets its data from the same buffer.  So a read succeeds even
 * if nothing can be stored.
 *
 * Runs.  A run consists of the request's pages, extended to whole clusters
 * (ORIGIN_CLUSTER).  If misses follow each other, the runs grow up to
 * ORIGIN_MOST_RUN, but not beyond what was read in order so far, and workers
 * fetch the next runs.  Whoever comes to a page that was fetched ahead moves
 * the read-ahead forward.  If a run fails, only the block of the page is tried
 * again.  So one bad place in the source fails only requests for that place.
 *
 * Memory.  Fetched pages can be fetched again.  So they are evicted when the
 * arena has no more credit (arena_set_pressure), and when they exceed what
 * origin-memory allows.  The clock's hand passes over the caches' leaves; a
 * cluster that was used since the hand last passed gets a second chance.  A
 * leaf that has no page left, and was not used either, goes too, with what was
 * known of zeros in it; otherwise the nodes of a large origin would fill the
 * memory.
 *
 * In an arena's file, the cache has a record as any disk has, with the URI and
 * what else is needed (arena-layout.h).  So what was fetched is there after a
 * restart.  Such an origin begins without a source.  The first thread that
 * needs it connects, and others wait for that thread; while the server is away,
 * each tries again until its time is over, and fails with EIO.  The source must
 * have the size that it had.
 *
 * Prefetch.  With prefetch, a thread fetches everything, at a limited rate,
 * while there is memory that nobody needs.  When nothing is missing, the source
 * is closed.  From then on the cache cannot be evicted: it is the only copy.
 *
 * Invariants
 *
 *   O1  A page is claimed by at most one fetch at a time, and only claimed
 *       pages of the cache cease to be holes.  With O2: as long as nothing is
 *       evicted, no page is read twice from the source.
 *   O2  A fetch leaves the table only after its data is in the cache.  A claim
 *       checks the cache while it holds the lock that guards the table.
 *   O3  A page of the cache is never changed, and never shared: it is filled
 *       before it is linked, and unlinked as a whole.  So a reader may use it
 *       until the end of its reader section, and eviction does not need the
 *       tree's lock.  To unlink empty nodes, it tries to get it, without
 *       waiting.
 *   O4  No thread waits for the source in a reader section, or with a lock
 *       held.
 *   O5  The source is used only between source_begin and source_end; it is
 *       connected once, and closed when nothing is missing, under set.lock so
 *       that nothing can be evicted any more, or with the last reference.
 *   O6  A disk's origin_end never grows.  A shrink lowers it, before the gate
 *       is closed.  A thread that fills a hole checks it again within the same
 *       reader section, or under the same lock.
 *   O7  What is known, and the memory that it takes, is counted exactly: each
 *       store to the cache fills holes only, and all of them or none; what
 *       eviction unlinks is counted page by page.
 *
 * Who keeps it alive?  An origin has a reference for each disk over it and for
 * each job of a worker.  The thread that frees an origin ends its prefetch
 * thread and waits for it.  The set, struct origins, lives as long as the
 * arena.
 *
 * Thread-safety: any thread may call all functions, except origins_new,
 * origins_set_connector, origins_start and origins_stop, which must not run
 * beside others.
 *   wants a reader section:      origin_find
 *   may wait for the source, so neither a reader section nor a lock:
 *                                origin_read, origin_extents
 *   takes locks inside:          the rest
 *
 * Knows nothing of NBD.
 */

#ifndef MRAMDISK_DISK_ORIGIN_H
#define MRAMDISK_DISK_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "bdev/bdev.h"
#include "ramdisk/disk.h"

/* The least that is fetched, in pages, if none of it is cached: 64 KiB.
 * Sending a few more adjacent pages takes a server hardly any time; another
 * round trip does.
 */
#define ORIGIN_CLUSTER 16

/* The most that is fetched at once, in pages: 4 MiB. */
#define ORIGIN_MOST_RUN 1024

/* The largest origin, in bytes: its cache consists of whole pages. */
#define ORIGIN_MAX_SIZE (DISK_MAX_SIZE - (PAGE_BYTES - 1))

struct origins;
struct origin;

enum origin_state {
  ORIGIN_LAZY,                  /* pages are fetched on demand */
  ORIGIN_PREFETCHING,
  ORIGIN_COMPLETE,              /* all is cached, the source closed */
  ORIGIN_AWAY,                  /* the source's server does not answer */
};

/* Where the content comes from. */
struct origin_source {
  struct bdev *bdev;            /* only read */
  const char *uri;              /* as it was given; copied */
  /* Is the server away?  NULL: it never is. */
  bool (*is_away) (void *opaque);
  /* Make requests fail with ESHUTDOWN instead of waiting. */
  void (*give_up) (void *opaque);
  /* The source is no longer used.  Called once, in any thread. */
  void (*close) (void *opaque);
  void *opaque;
};

/* What a source must be to take the place of an earlier one. */
struct origin_wanted {
  uint64_t size;                /* bytes, exactly */
  uint64_t block_min;           /* bytes, at most */
  bool again;                   /* the last attempt has failed, too */
  /* It is not needed any more: do not wait any longer. */
  bool (*ends) (void *opaque);
  void *opaque;                 /* stays as long as the source */
};

/* Where origins that are recovered get their sources, when they are needed. */
struct origin_connector {
  /* Connect, once.  Returns 0, or -1; then, or if it is not what is wanted, the
   * origin tries again later.  Called in any thread.
   */
  int (*connect) (void *opaque, const char *uri,
                  const struct origin_wanted *wanted,
                  struct origin_source *source);
  void *opaque;
  int64_t wait;                 /* ns that a request waits for a source */
};

struct origin_options {
  struct origin_source source;
  bool prefetch;
  uint64_t prefetch_rate;       /* bytes a second; 0: no limit */
};

struct origin_stats {
  enum origin_state state;
  bool prefetch;
  uint64_t prefetch_rate;       /* as in origin_options */
  uint64_t size;                /* bytes */
  uint64_t known;               /* bytes that need not be fetched */
  uint64_t memory;              /* bytes of memory that these take */
  uint64_t fetches;             /* requests to the source */
  uint64_t fetched;             /* bytes that the source has sent */
  uint64_t evicted;             /* bytes, so far */
  uint64_t errors;              /* requests to the source that failed */
};

/* The origins of an arena.  limit: how many bytes their pages may take; 0: no
 * limit.  Returns NULL if there is no memory.
 */
struct origins *origins_new (struct arena *arena, uint64_t limit);

/* To be called before anything is recovered.  Without it, what was not fetched
 * of recovered origins cannot be read.
 */
void origins_set_connector (struct origins *set,
                            const struct origin_connector *connector);

/* Start the threads.  Threads do not survive fork(2), so call this after the
 * last one.  Without it nothing is prefetched or read ahead.
 */
void origins_start (struct origins *set);

/* End the threads, and all waiting for a source.  May be called again. */
void origins_stop (struct origins *set);

/* Call it after all origins have been freed and origins_stop was called. */
void origins_free (struct origins *set);

/* Returns an origin with one reference, which owns the source from then on.  Or
 * returns NULL with errno ENOMEM, ENOSPC, EFBIG (over ORIGIN_MAX_SIZE) or
 * EINVAL (its blocks are larger than ORIGIN_MOST_RUN), or, if the arena is in a
 * file, ENAMETOOLONG or EILSEQ (the URI is longer than LAYOUT_MAX_NAME, or not
 * UTF-8); then the caller still owns the source.
 */
struct origin *origin_new (struct origins *set,
                           const struct origin_options *options);

/* Make an origin of the cache that an arena's file has, which it takes over,
 * also if it fails.  It has one reference, and connects to its source when that
 * is needed.  Before origins_start.  Returns NULL with errno ENOMEM.
 */
struct origin *origin_restore (struct origins *set, struct disk *cache,
                               const char *uri);

/* Leave the origin in the arena's file, also when the last reference goes: a
 * disk over it stays there.
 */
void origin_stays (struct origin *o);

struct origin *origin_ref (struct origin *o);

/* NULL is allowed.  The last reference frees everything, in the background. */
void origin_put (struct origin *o);

/* Look up the page with that index, which must be less than the origin's number
 * of pages.  Returns a page of the arena, PAGE_ZERO, or PAGE_HOLE if it must be
 * fetched.  *leaf is 0 at first, and caches the look-up for other pages of the
 * same DISK_SECTION_PAGES.
 */
struct origin_leaf {
  bool known;
  page_t leaf;
};
page_t origin_find (struct origin *o, uint64_t index,
                    struct origin_leaf *leaf);

/* Note that pages of the cluster of that page are in use. */
void origin_used (struct origin *o, uint64_t index);

/* Read from the origin, and fetch missing pages.  Beyond its end there are
 * zeros.  more: how many bytes after these the same request will need.  Returns
 * 0, or -1 with errno EIO or ENOMEM.
 */
int origin_read (struct origin *o, char *buf, uint64_t count, uint64_t offset,
                 uint64_t more);

/* Report extents, as far as the source knows them: EXTENT_DATA or EXTENT_HOLE,
 * in order, from offset to offset + count.  Adjacent extents may have the same
 * type.  A range that the source cannot report is data.  Returns 0, or fn's
 * result if that was not 0.
 */
int origin_extents (struct origin *o, uint64_t count, uint64_t offset,
                    extent_fn fn, void *opaque);

uint64_t origin_size (const struct origin *o);
const char *origin_uri (const struct origin *o);
void origin_stats (struct origin *o, struct origin_stats *stats);

/* Call fn for each origin that has become complete, has gone away or has come
 * back since the last call; fn must not wait.  Only one thread may call it at a
 * time.
 */
void origins_changed (struct origins *set,
                      void (*fn) (void *opaque, struct origin *o,
                                  enum origin_state state),
                      void *opaque);

/* The cache, for checks and for recovery. */
struct disk *origin_cache (struct origin *o);

#endif /* MRAMDISK_DISK_ORIGIN_H */
