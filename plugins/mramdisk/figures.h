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

#include <stdbool.h>
#include <stdint.h>

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

/* The counters of one connection. */
struct figures;
struct figures_shard;

struct figures_timer {
  struct figures_shard *shard;
  uint64_t start;               /* ns; 0: not timed */
};

struct figures *figures_new (void);
void figures_free (struct figures *f);

/* Around a request.  If there is no memory for a new thread's counters its
 * requests are not counted.
 */
void figures_start (struct figures *f, struct figures_timer *t);
void figures_done (struct figures_timer *t, enum figure what, uint64_t bytes,
                   enum figure_error error);

/* Add what was counted so far to a sum. */
void figures_add (const struct figures *f, struct figures_sum *sum);
void figures_sum_add (struct figures_sum *to, const struct figures_sum *from);

#endif /* MRAMDISK_FIGURES_H */
