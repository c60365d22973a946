/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of an origin share.  disk-origin.h has the design. */

#ifndef MRAMDISK_DISK_ORIGIN_PARTS_H
#define MRAMDISK_DISK_ORIGIN_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "ramdisk/disk-parts.h"
#include "ramdisk/disk-origin.h"

/* Sequential reads are recognised by the ends of the last few runs. */
#define STREAMS 16

/* The clock's second chance marks.  Each cluster has its own, up to 64 GiB; in
 * a larger origin several clusters share one.
 */
#define MOST_MARKS (UINT64_C (1) << 20)

/* How many runs may wait for a worker, and how many workers there are. */
#define MOST_JOBS 64
#define WORKERS 4

/* The mark of a cluster.  MARK_AHEAD: it is fetched before somebody needs it,
 * and nobody has come to it yet.
 */
enum { MARK_UNUSED, MARK_USED, MARK_AHEAD };

/* The limit on the buffers of all fetches, in bytes.  Beyond it, runs are
 * short.
 */
#define MOST_BUFFERS (UINT64_C (64) << 20)

/* A run of pages that a thread fetches, or marks as zeros.  It is in the table
 * until it is done; the last reference frees it.
 */
struct fetch {
  uint64_t first, end;          /* pages, end not included */
  char *buf;                    /* the data; NULL: nothing but a claim */
  int error;                    /* errno, once it is done */
  bool done;
  unsigned refs;
  struct fetch *next;
};

struct stream {
  uint64_t begin;               /* the page where its reader began */
  uint64_t end, next;           /* the pages after what its reader has come to,
                                 * and after its read-ahead */
  uint64_t run;                 /* length of its next run in pages; 0: unused */
  uint64_t from;                /* where its reader was when the read-ahead was
                                 * last moved … */
  uint64_t used;                /* … and how many clusters it has used since */
};

struct origin {
  struct origins *set;
  struct disk *cache;
  struct origin_source source;  /* set under the lock; without a bdev: it is
                                 * not connected */
  char *uri;
  uint64_t size;                /* bytes */
  uint64_t pages;
  uint64_t block;               /* pages; runs are multiples of it */
  bool prefetch;
  uint64_t rate;                /* bytes a second, or 0 */
  _Atomic unsigned refs;
  _Atomic uint8_t *mark;        /* nmarks of them */
  uint64_t nmarks;              /* a power of two */

  struct mutex lock;            /* a leaf */
  pthread_cond_t changed;       /* a fetch is done, a user gone, ending */
  struct fetch *fetch GUARDED_BY (lock);        /* the table */
  struct stream stream[STREAMS] GUARDED_BY (lock);
  unsigned oldest GUARDED_BY (lock);            /* stream, to be replaced */
  unsigned users GUARDED_BY (lock);             /* of the source */
  bool connecting GUARDED_BY (lock);            /* to the source: a thread is */
  int64_t next_try GUARDED_BY (lock);           /* not before */
  bool closed GUARDED_BY (lock);                /* the source is */
  bool ending GUARDED_BY (lock);                /* prefetch must end */
  atomic_bool unneeded;                         /* the same as ending */
  bool running GUARDED_BY (lock);               /* there is one */
  pthread_t thread;

  _Atomic uint64_t known;       /* pages of the cache that are not holes (O7) */
  _Atomic uint64_t fetches, fetched, evicted, errors;
  _Atomic bool complete;        /* changes under set.lock (O5) */
  _Atomic bool away;            /* the last request found nobody */
  atomic_bool stays;            /* in the arena's file */

  /* Links in set.list, and the position of the clock's hand; guarded by
   * set.lock.
   */
  struct origin *prev, *next;
  uint64_t hand;
  enum origin_state told;       /* by origins_changed */
};

struct origin_job {
  struct origin *o;             /* a reference */
  uint64_t first, end;
};

struct origins {
  struct arena *arena;
  uint64_t limit;               /* pages, or 0 */
  struct origin_connector connector;
  _Atomic int64_t held;         /* pages of all caches, and reserved */
  _Atomic uint64_t buffers;     /* bytes */

  /* Held while pages are evicted.  A thread may already hold a tree's lock
   * then.
   */
  struct mutex lock;
  struct origin *list GUARDED_BY (lock);

  struct mutex work_lock;       /* a leaf */
  pthread_cond_t work;          /* a job, the end, a thread has ended */
  struct origin_job job[MOST_JOBS] GUARDED_BY (work_lock);
  unsigned njobs GUARDED_BY (work_lock);
  bool started GUARDED_BY (work_lock);
  bool ending GUARDED_BY (work_lock);
  unsigned threads GUARDED_BY (work_lock);      /* that free origins */
  unsigned nworkers;
  pthread_t worker[WORKERS];
};

/* Connect to the source, if the origin has none.  wait: until it is there, for
 * as long as the connector says; else try once, or not at all if that has just
 * failed.
 */
void origin_source_connect (struct origin *o, bool wait);

/* The source may be used until source_end.  Returns false if it is closed, or
 * not connected.
 */
bool origin_source_begin (struct origin *o);
void origin_source_end (struct origin *o);

/* Close the source for good, if it was open, once nobody uses it. */
void origin_source_close (struct origin *o);

/* Fetch the missing pages from first to end, as a run that nobody asked for.
 * Returns 0, or -1 with errno; *next: the page after the run.
 */
int origin_fetch_run (struct origin *o, uint64_t first, uint64_t end,
                      uint64_t *next);

/* Find the first page from index on that must be fetched.  *end is the end of
 * the missing pages from there, at most stop.  Returns false if no page is
 * missing before stop.
 */
bool origin_missing (struct origin *o, uint64_t index, uint64_t stop,
                     uint64_t *first, uint64_t *end);

/* Note that the whole blocks within a range of bytes read as zeros, unless
 * somebody fetches a page of them.
 */
void origin_mark_zeros (struct origin *o, uint64_t count, uint64_t offset);

/* Reserve room for n pages in the caches, by eviction if necessary. */
bool origin_take_room (struct origins *set, uint64_t n);
void origin_give_room (struct origins *set, uint64_t n);

/* Evict up to n pages from the caches, and hand them to the reclaimer, with
 * nodes that have become empty.  Returns how many pages and nodes.
 */
uint64_t origin_evict (void *origins, uint64_t n);

/* If nothing is missing, forbid eviction from here on.  Returns whether nothing
 * is missing.
 */
bool origin_complete (struct origin *o);

/* The prefetch thread. */
void *origin_prefetch (void *origin);

/* Have a worker fetch a run. */
void origin_read_ahead (struct origin *o, uint64_t first, uint64_t end);

#endif /* MRAMDISK_DISK_ORIGIN_PARTS_H */
