/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures: how many requests of what kind, how large and how long.
 *
 * Design
 *
 * Counting must not make threads fight for a cache line, so each connection
 * has counters of its own, and in it each thread that serves it: a shard, which
 * only its owner writes, with plain stores.  Readers add the shards up; a
 * connection that closes is added to its disk's sum.
 *
 * Reading the clock twice costs 45 ns, about 1 % of a small request through the
 * server, so only one request in FIGURES_SAMPLE is timed, on the average: the
 * distance is random, else a client that repeats itself could always hit the
 * same kind.  The first one of a thread is always timed.
 *
 * Thread-safety
 *   from any thread, take no lock:  figures_start, figures_done, figures_add
 *   wants to be alone:              figures_new, figures_free
 */

#ifndef MRAMDISK_FIGURES_H
#define MRAMDISK_FIGURES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread-local.h"

enum figure {
  FIGURE_READ,
  FIGURE_WRITE,
  FIGURE_ZERO,
  FIGURE_TRIM,
  FIGURE_EXTENTS,
  NFIGURES
};

/* Why a request failed. */
enum figure_error {
  FIGURE_OK,
  FIGURE_NO_MEMORY,             /* ENOSPC: the server has none left */
  FIGURE_QUOTA,                 /* ENOSPC: the disk may have none */
  FIGURE_OTHER,
};

/* Bucket i counts what took less than 2^i ns, and not less than the one
 * before; the last one also what took longer (9 minutes).
 */
#define FIGURE_BUCKETS 40

/* One request in so many is timed. */
#define FIGURES_SAMPLE 16

struct figure_sum {
  uint64_t ops;
  uint64_t bytes;               /* of those that were done */
  uint64_t errors;
  uint64_t bucket[FIGURE_BUCKETS];
};

struct figures_sum {
  struct figure_sum of[NFIGURES];
  uint64_t no_memory, quota;    /* those of the errors */
};

struct figures_counter {
  _Atomic uint64_t ops, bytes, errors;
  _Atomic uint64_t bucket[FIGURE_BUCKETS];
};

/* Starts and ends at a cache line of its own. */
struct figures_shard {
  _Alignas (64) struct figures_counter of[NFIGURES];
  _Atomic uint64_t no_memory, quota;
  const void *owner;            /* the thread's figures_mine */
  uint32_t random;
  unsigned until_sample;
  struct figures_shard *next;
};

/* The counters of one connection. */
struct figures {
  uint64_t id;                  /* no two have the same, unlike addresses */
  struct figures_shard *_Atomic first;
};

/* The shard that this thread used last.  nbdkit's threads serve one connection
 * each, so it is nearly always the one wanted.
 */
extern THREAD_LOCAL struct figures_mine {
  uint64_t id;
  struct figures_shard *shard;
} figures_mine;

struct figures_timer {
  struct figures_shard *shard;
  uint64_t start;               /* ns; 0: not timed */
};

struct figures *figures_new (void);
void figures_free (struct figures *f);

/* For figures_start and figures_done. */
struct figures_shard *figures_find_shard (struct figures *f);
void figures_sample (struct figures_timer *t);
void figures_took (struct figures_timer *t, enum figure what);

/* One writer: no read-modify-write is needed, only that readers see no half. */
static inline void
figures_count (_Atomic uint64_t *counter, uint64_t n)
{
  atomic_store_explicit (counter,
                         atomic_load_explicit (counter,
                                               memory_order_relaxed) + n,
                         memory_order_relaxed);
}

/* Around a request.  If there is no memory for a new thread's counters its
 * requests are not counted.
 */
static inline void
figures_start (struct figures *f, struct figures_timer *t)
{
  struct figures_shard *s = figures_mine.shard;

  if (__builtin_expect (figures_mine.id != f->id, false))
    s = figures_find_shard (f);
  t->shard = s;
  t->start = 0;
  if (s && --s->until_sample == 0)
    figures_sample (t);
}

static inline void
figures_done (struct figures_timer *t, enum figure what, uint64_t bytes,
              enum figure_error error)
{
  struct figures_counter *c;

  if (t->shard == NULL)
    return;
  c = &t->shard->of[what];
  figures_count (&c->ops, 1);
  if (error == FIGURE_OK)
    figures_count (&c->bytes, bytes);
  else {
    figures_count (&c->errors, 1);
    if (error == FIGURE_NO_MEMORY)
      figures_count (&t->shard->no_memory, 1);
    else if (error == FIGURE_QUOTA)
      figures_count (&t->shard->quota, 1);
  }
  if (t->start)
    figures_took (t, what);
}

/* Add what was counted so far to a sum. */
void figures_add (const struct figures *f, struct figures_sum *sum);
void figures_sum_add (struct figures_sum *to, const struct figures_sum *from);

#endif /* MRAMDISK_FIGURES_H */
