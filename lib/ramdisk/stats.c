/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of requests.  figures.h has the design. */

#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"

THREAD_LOCAL struct figures_mine figures_mine;

struct figures *
figures_new (void)
{
  static _Atomic uint64_t last_id;
  struct figures *f = malloc (sizeof *f);

  if (f == NULL)
    return NULL;
  f->id = atomic_fetch_add_explicit (&last_id, 1, memory_order_relaxed) + 1;
  atomic_init (&f->first, NULL);
  return f;
}

void
figures_free (struct figures *f)
{
  struct figures_shard *s, *next;

  if (f == NULL)
    return;
  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = next) {
    next = s->next;
    free (s);
  }
  free (f);
}

/* Find this thread's shard, or make it.  A thread may find that of one that has
 * ended, whose memory it got; that one counts no more.
 */
struct figures_shard *
figures_find_shard (struct figures *f)
{
  struct figures_shard *s;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next)
    if (s->owner == &figures_mine)
      break;
  if (s == NULL) {
    s = aligned_alloc (_Alignof (struct figures_shard), sizeof *s);
    if (s == NULL)
      return NULL;
    memset (s, 0, sizeof *s);
    s->owner = &figures_mine;
    s->random = (uint32_t) f->id * 2654435761u + 1;
    s->until_sample = 1;
    s->next = atomic_load_explicit (&f->first, memory_order_relaxed);
    /* Release: pairs with the acquire of those who walk the list. */
    while (!atomic_compare_exchange_weak_explicit (&f->first, &s->next, s,
                                                   memory_order_release,
                                                   memory_order_relaxed))
      ;
  }
  figures_mine.id = f->id;
  figures_mine.shard = s;
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
figures_sample (struct figures_timer *t)
{
  struct figures_shard *s = t->shard;

  s->random = s->random * 1664525u + 1013904223u;
  /* 1 to 2 * FIGURES_SAMPLE - 1, from the better bits */
  s->until_sample = 1 + (s->random >> 16) % (2 * FIGURES_SAMPLE - 1);
  t->start = now_ns ();
}

static unsigned
bucket_of (uint64_t ns)
{
  unsigned i = ns ? 64 - __builtin_clzll (ns) : 0;

  return i < FIGURE_BUCKETS ? i : FIGURE_BUCKETS - 1;
}

void
figures_took (struct figures_timer *t, enum figure what)
{
  figures_count (&t->shard->of[what].bucket[bucket_of (now_ns () - t->start)],
                 1);
}

static uint64_t
load (const _Atomic uint64_t *counter)
{
  return atomic_load_explicit (counter, memory_order_relaxed);
}

void
figures_add (const struct figures *f, struct figures_sum *sum)
{
  const struct figures_shard *s;
  unsigned i, j;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next) {
    for (i = 0; i < NFIGURES; i++) {
      sum->of[i].ops += load (&s->of[i].ops);
      sum->of[i].bytes += load (&s->of[i].bytes);
      sum->of[i].errors += load (&s->of[i].errors);
      for (j = 0; j < FIGURE_BUCKETS; j++)
        sum->of[i].bucket[j] += load (&s->of[i].bucket[j]);
    }
    sum->no_memory += load (&s->no_memory);
    sum->quota += load (&s->quota);
  }
}

void
figures_sum_add (struct figures_sum *to, const struct figures_sum *from)
{
  unsigned i, j;

  for (i = 0; i < NFIGURES; i++) {
    to->of[i].ops += from->of[i].ops;
    to->of[i].bytes += from->of[i].bytes;
    to->of[i].errors += from->of[i].errors;
    for (j = 0; j < FIGURE_BUCKETS; j++)
      to->of[i].bucket[j] += from->of[i].bucket[j];
  }
  to->no_memory += from->no_memory;
  to->quota += from->quota;
}
