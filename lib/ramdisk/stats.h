/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: how many requests of which kind, how large, and how long they
 * took.
 *
 * Design
 *
 * Counting must not make threads compete for a cache line.  So each connection
 * has its own counters, and within it each thread that serves it: a shard,
 * which only its owner writes, with plain stores.  Readers add up the shards;
 * when a connection closes, its counters are added to the sum of its disk.
 *
 * Reading the clock twice costs 45 ns, about 1 % of a small request through the
 * server.  So only one request in STATS_SAMPLE is timed, on average.  The
 * distance is random; otherwise, with a client that repeats a pattern, the same
 * kind of request could always be timed.  The first request of a thread is
 * always timed.
 *
 * Thread-safety
 *   from any thread, take no lock:  stats_start, stats_done, stats_add,
 *                                   stats_last
 *   wants to be alone:              stats_new, stats_free
 */

#ifndef MRAMDISK_STATS_H
#define MRAMDISK_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/thread-local.h"

enum stat_kind {
  STAT_READ,
  STAT_WRITE,
  STAT_ZERO,
  STAT_TRIM,
  STAT_FLUSH,
  STAT_CACHE,
  STAT_EXTENTS,
  NSTATS
};

/* Why a request failed. */
enum stat_error {
  STAT_OK,
  STAT_NO_MEMORY,             /* ENOSPC: the server has no memory left */
  STAT_QUOTA,                 /* ENOSPC: the disk's quota is used up */
  STAT_OTHER,
};

/* Bucket i counts requests that took less than 2^i ns and at least as long as
 * the bound of the bucket before; the last one also counts longer ones (9
 * minutes).
 */
#define STAT_BUCKETS 40

/* The average number of requests for one that is timed. */
#define STATS_SAMPLE 16

struct stat_sum {
  uint64_t ops;
  uint64_t bytes;               /* of successful requests */
  uint64_t errors;
  uint64_t bucket[STAT_BUCKETS];
};

struct stats_sum {
  struct stat_sum of[NSTATS];
  uint64_t no_memory, quota;    /* failed requests */
};

struct stats_counter {
  _Atomic uint64_t ops, bytes, errors;
  _Atomic uint64_t bucket[STAT_BUCKETS];
};

/* Starts and ends at a cache line boundary. */
struct stats_shard {
  _Alignas (64) struct stats_counter of[NSTATS];
  _Atomic uint64_t no_memory, quota;
  _Atomic int64_t last;         /* of a request: CLOCK_REALTIME_COARSE, s */
  const void *owner;            /* the thread's stats_mine */
  uint32_t random;
  uint32_t excess;              /* see buffers.h: of the thread's buffer */
  unsigned until_sample;
  struct stats_shard *next;
};

/* The counters of one connection. */
struct stats {
  uint64_t id;                  /* unique, unlike addresses */
  struct stats_shard *_Atomic first;
};

/* The shard that this thread used last. nbdkit's threads serve one connection
 * each, so it is nearly always the right one.
 */
extern THREAD_LOCAL struct stats_mine {
  uint64_t id;
  struct stats_shard *shard;
} stats_mine;

struct stats_timer {
  struct stats_shard *shard;
  uint64_t start;               /* ns; 0: not timed */
};

struct stats *stats_new (void);
void stats_free (struct stats *f);

/* For stats_start and stats_done. */
struct stats_shard *stats_find_shard (struct stats *f);
void stats_sample (struct stats_timer *t);
void stats_took (struct stats_timer *t, enum stat_kind what);

/* There is one writer: no read-modify-write is needed, only stores that readers
 * see whole.
 */
static inline void
stats_count (_Atomic uint64_t *counter, uint64_t n)
{
  atomic_store_explicit (counter,
                         atomic_load_explicit (counter,
                                               memory_order_relaxed) + n,
                         memory_order_relaxed);
}

/* Called before and after a request.  If there is no memory for the counters of
 * a new thread, its requests are not counted.
 */
static inline void
stats_start (struct stats *f, struct stats_timer *t)
{
  struct stats_shard *s = stats_mine.shard;

  if (__builtin_expect (stats_mine.id != f->id, false))
    s = stats_find_shard (f);
  t->shard = s;
  t->start = 0;
  if (s && --s->until_sample == 0)
    stats_sample (t);
}

static inline void
stats_done (struct stats_timer *t, enum stat_kind what, uint64_t bytes,
            enum stat_error error)
{
  struct stats_counter *c;
  struct timespec now;

  if (t->shard == NULL)
    return;
  /* The coarse clock is a load from the vDSO's page. */
  clock_gettime (CLOCK_REALTIME_COARSE, &now);
  atomic_store_explicit (&t->shard->last, now.tv_sec, memory_order_relaxed);
  c = &t->shard->of[what];
  stats_count (&c->ops, 1);
  if (error == STAT_OK)
    stats_count (&c->bytes, bytes);
  else {
    stats_count (&c->errors, 1);
    if (error == STAT_NO_MEMORY)
      stats_count (&t->shard->no_memory, 1);
    else if (error == STAT_QUOTA)
      stats_count (&t->shard->quota, 1);
  }
  if (t->start)
    stats_took (t, what);
}

/* When the last request was done: CLOCK_REALTIME, seconds; 0: never. */
int64_t stats_last (const struct stats *f);

/* Add what was counted so far to a sum. */
void stats_add (const struct stats *f, struct stats_sum *sum);
void stats_sum_add (struct stats_sum *to, const struct stats_sum *from);

#endif /* MRAMDISK_STATS_H */
