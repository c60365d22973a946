/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters of requests.  figures.h has the design. */

#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"

struct counter {
  _Atomic uint64_t ops, bytes, errors;
  _Atomic uint64_t bucket[FIGURE_BUCKETS];
};

/* Starts and ends at a cache line of its own. */
struct figures_shard {
  _Alignas (64) struct counter of[NFIGURES];
  _Atomic uint64_t no_memory, quota;
  const void *owner;            /* the thread's `mine` */
  uint32_t random;
  unsigned until_sample;
  struct figures_shard *next;
};

struct figures {
  uint64_t id;                  /* no two have the same, unlike addresses */
  struct figures_shard *_Atomic first;
};

/* The shard that this thread used last.  nbdkit's threads serve one connection
 * each, so it is nearly always the one wanted.
 */
static __thread struct {
  uint64_t id;
  struct figures_shard *shard;
} mine;

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
static struct figures_shard *
find_shard (struct figures *f)
{
  struct figures_shard *s;

  for (s = atomic_load_explicit (&f->first, memory_order_acquire); s;
       s = s->next)
    if (s->owner == &mine)
      break;
  if (s == NULL) {
    s = aligned_alloc (_Alignof (struct figures_shard), sizeof *s);
    if (s == NULL)
      return NULL;
    memset (s, 0, sizeof *s);
    s->owner = &mine;
    s->random = (uint32_t) f->id * 2654435761u + 1;
    s->until_sample = 1;
    s->next = atomic_load_explicit (&f->first, memory_order_relaxed);
    /* Release: pairs with the acquire of those who walk the list. */
    while (!atomic_compare_exchange_weak_explicit (&f->first, &s->next, s,
                                                   memory_order_release,
                                                   memory_order_relaxed))
      ;
  }
  mine.id = f->id;
  mine.shard = s;
  return s;
}

static uint64_t
now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * UINT64_C (1000000000) + ts.tv_nsec;
}

/* One writer: no read-modify-write is needed, only that readers see no half. */
static inline void
add (_Atomic uint64_t *counter, uint64_t n)
{
  atomic_store_explicit (counter,
                         atomic_load_explicit (counter,
                                               memory_order_relaxed) + n,
                         memory_order_relaxed);
}

void
figures_start (struct figures *f, struct figures_timer *t)
{
  struct figures_shard *s = mine.shard;

  if (__builtin_expect (mine.id != f->id, false))
    s = find_shard (f);
  t->shard = s;
  t->start = 0;
  if (s && --s->until_sample == 0) {
    s->random = s->random * 1664525u + 1013904223u;
    /* 1 to 2 * FIGURES_SAMPLE - 1, from the better bits */
    s->until_sample = 1 + (s->random >> 16) % (2 * FIGURES_SAMPLE - 1);
    t->start = now_ns ();
  }
}

static unsigned
bucket_of (uint64_t ns)
{
  unsigned i = ns ? 64 - __builtin_clzll (ns) : 0;

  return i < FIGURE_BUCKETS ? i : FIGURE_BUCKETS - 1;
}

void
figures_done (struct figures_timer *t, enum figure what, uint64_t bytes,
              enum figure_error error)
{
  struct counter *c;

  if (t->shard == NULL)
    return;
  c = &t->shard->of[what];
  add (&c->ops, 1);
  if (error == FIGURE_OK)
    add (&c->bytes, bytes);
  else {
    add (&c->errors, 1);
    if (error == FIGURE_NO_MEMORY)
      add (&t->shard->no_memory, 1);
    else if (error == FIGURE_QUOTA)
      add (&t->shard->quota, 1);
  }
  if (t->start)
    add (&c->bucket[bucket_of (now_ns () - t->start)], 1);
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
