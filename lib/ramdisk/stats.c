/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of requests.  stats.h has the design. */

#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ramdisk/stats.h"

THREAD_LOCAL struct stats_mine stats_mine;

struct stats *
stats_new (void)
{
  static _Atomic uint64_t last_id;
  struct stats *f = malloc (sizeof *f);

  if (f == NULL)
    return NULL;
  f->id = atomic_fetch_add_explicit (&last_id, 1, memory_order_relaxed) + 1;
  atomic_init (&f->first, NULL);
  return f;
}

void
stats_free (struct stats *f)
{
  struct stats_shard *s, *next;

  if (f == NULL)
    return;
  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = next) {
    next = s->next;
    free (s);
  }
  free (f);
}

/* Find this thread's shard, or create it.  A thread may find the shard of a
 * thread that has ended and whose memory it got; that thread counts no more.
 */
struct stats_shard *
stats_find_shard (struct stats *f)
{
  struct stats_shard *s;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next)
    if (s->owner == &stats_mine)
      break;
  if (s == NULL) {
    s = aligned_alloc (_Alignof (struct stats_shard), sizeof *s);
    if (s == NULL)
      return NULL;
    memset (s, 0, sizeof *s);
    s->owner = &stats_mine;
    s->random = (uint32_t) f->id * 2654435761u + 1;
    s->until_sample = 1;
    s->next = atomic_load_explicit (&f->first, memory_order_relaxed);
    /* Release: pairs with the acquire of readers of the list. */
    while (!atomic_compare_exchange_weak_explicit (&f->first, &s->next, s,
                                                   memory_order_release,
                                                   memory_order_relaxed))
      ;
  }
  stats_mine.id = f->id;
  stats_mine.shard = s;
  return s;
}

static uint64_t
now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * UINT64_C (1000000000) + ts.tv_nsec;
}

void
stats_sample (struct stats_timer *t)
{
  struct stats_shard *s = t->shard;

  s->random = s->random * 1664525u + 1013904223u;
  /* 1 to 2 * STATS_SAMPLE - 1, from the better bits */
  s->until_sample = 1 + (s->random >> 16) % (2 * STATS_SAMPLE - 1);
  t->start = now_ns ();
}

static unsigned
bucket_of (uint64_t ns)
{
  unsigned i = ns ? 64 - __builtin_clzll (ns) : 0;

  return i < STAT_BUCKETS ? i : STAT_BUCKETS - 1;
}

void
stats_took (struct stats_timer *t, enum stat_kind what)
{
  stats_count (&t->shard->of[what].bucket[bucket_of (now_ns () - t->start)],
               1);
}

static uint64_t
load (const _Atomic uint64_t *counter)
{
  return atomic_load_explicit (counter, memory_order_relaxed);
}

void
stats_add (const struct stats *f, struct stats_sum *sum)
{
  const struct stats_shard *s;
  unsigned i, j;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next) {
    for (i = 0; i < NSTATS; i++) {
      sum->of[i].ops += load (&s->of[i].ops);
      sum->of[i].bytes += load (&s->of[i].bytes);
      sum->of[i].errors += load (&s->of[i].errors);
      for (j = 0; j < STAT_BUCKETS; j++)
        sum->of[i].bucket[j] += load (&s->of[i].bucket[j]);
    }
    sum->no_memory += load (&s->no_memory);
    sum->quota += load (&s->quota);
  }
}

int64_t
stats_last (const struct stats *f)
{
  const struct stats_shard *s;
  int64_t last = 0;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next) {
    int64_t at = atomic_load_explicit (&s->last, memory_order_relaxed);

    if (at > last)
      last = at;
  }
  return last;
}

void
stats_sum_add (struct stats_sum *to, const struct stats_sum *from)
{
  unsigned i, j;

  for (i = 0; i < NSTATS; i++) {
    to->of[i].ops += from->of[i].ops;
    to->of[i].bytes += from->of[i].bytes;
    to->of[i].errors += from->of[i].errors;
    for (j = 0; j < STAT_BUCKETS; j++)
      to->of[i].bucket[j] += from->of[i].bucket[j];
  }
  to->no_memory += from->no_memory;
  to->quota += from->quota;
}
