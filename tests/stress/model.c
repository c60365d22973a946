/* SPDX-License-Identifier: BSD-3-Clause */
/* Judges what the threads of the stress test did and saw. */

#include <config.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "ramdisk/disk.h"
#include "tests/abort.h"

#define LEAF ((uint64_t) NODE_SLOTS * PAGE_BYTES)

/* At the start; across two leaves; across two nodes of the second level; and
 * just after that, so that subtrees of both levels are between clusters.
 */
const uint64_t cluster_offset[CLUSTERS] = {
  0,
  3 * LEAF - 3 * PAGE_BYTES,
  NODE_SLOTS * LEAF - 2 * PAGE_BYTES,
  NODE_SLOTS * LEAF + 9 * LEAF + 5 * PAGE_BYTES,
};

unsigned
registers_before (uint64_t size)
{
  unsigned n = 0;

  while (n < REGISTERS && register_offset (n) + SECTOR <= size)
    n++;
  return n;
}

uint64_t
now (void)
{
  static _Atomic uint64_t counter = 1;

  return atomic_fetch_add_explicit (&counter, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------- histories */

/* Make room for one more element in an array that grows by doubling. */
static void *
grown (void *array, size_t n, size_t size)
{
  if (n & (n - 1) || (n > 0 && n < 64))
    return array;
  array = reallocarray (array, n < 64 ? 64 : 2 * n, size);
  if (array == NULL)
    abort ();
  return array;
}

void
history_event (struct history *h, struct event e)
{
  h->event = grown (h->event, h->nevent, sizeof e);
  h->event[h->nevent++] = e;
}

void
history_seen (struct history *h, struct seen s)
{
  h->seen = grown (h->seen, h->nseen, sizeof s);
  h->seen[h->nseen++] = s;
}

void
history_resize (struct history *h, struct resize r)
{
  h->resize = grown (h->resize, h->nresize, sizeof r);
  h->resize[h->nresize++] = r;
}

void
history_outcome (struct history *h, struct outcome o)
{
  h->outcome = grown (h->outcome, h->noutcome, sizeof o);
  h->outcome[h->noutcome++] = o;
}

struct snapshot *
history_snapshot (struct history *h)
{
  h->snapshot = grown (h->snapshot, h->nsnapshot, sizeof *h->snapshot);
  return &h->snapshot[h->nsnapshot++];
}

void
history_clear (struct history *h)
{
  free (h->event);
  free (h->seen);
  free (h->resize);
  free (h->outcome);
  free (h->snapshot);
  *h = (struct history) { .event = NULL };
}

/* ------------------------------------------------------------- the judge */

/* Everything that was stored in one register in one life. */
struct log {
  struct event *event;
  size_t n;
};

struct court {
  struct log log[MOST_LIVES][REGISTERS];
  struct { struct resize *r; size_t n; } sizes[MOST_LIVES];
};

static void
add (struct log *l, struct event e)
{
  l->event = grown (l->event, l->n, sizeof e);
  l->event[l->n++] = e;
}

static void
add_size (struct court *c, struct resize r)
{
  c->sizes[r.life].r = grown (c->sizes[r.life].r, c->sizes[r.life].n,
                              sizeof r);
  c->sizes[r.life].r[c->sizes[r.life].n++] = r;
}

static int
by_begin (const void *a, const void *b)
{
  const struct resize *x = a, *y = b;

  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* What a shrink zeroes, and until when nothing can be written there. */
static void
add_shrinks (struct court *c, size_t life)
{
  const struct resize *r = c->sizes[life].r;
  size_t i, j, n = c->sizes[life].n;
  unsigned reg;

  for (i = 1; i < n; i++)
    for (reg = registers_before (r[i].size); reg < REGISTERS; reg++) {
      for (j = i + 1; j < n && registers_before (r[j].size) <= reg; j++)
        ;
      add (&c->log[life][reg],
           (struct event) { r[i].begin, r[i].end, 0,
                            j < n ? r[j].begin : UINT64_MAX,
                            reg, reg, life, true });
    }
}

static struct court *
gather (const struct history *h, size_t n, const struct life *life,
        size_t nlives)
{
  struct court *c = calloc (1, sizeof *c);
  size_t i, j;
  unsigned reg;

  if (c == NULL)
    abort ();
  for (i = 0; i < nlives; i++) {
    for (reg = 0; reg < REGISTERS; reg++) {
      add (&c->log[i][reg],
           (struct event) { 0, 0, life[i].is[reg].id, 0, reg, reg, i, true });
      add (&c->log[i][reg],
           (struct event) { 0, 0, life[i].is[reg].other, 0, reg, reg, i,
                            true });
    }
    add_size (c, (struct resize) { 0, 0, life[i].size, i });
  }
  for (i = 0; i < n; i++) {
    for (j = 0; j < h[i].nevent; j++)
      for (reg = h[i].event[j].first; reg <= h[i].event[j].last; reg++)
        add (&c->log[h[i].event[j].life][reg], h[i].event[j]);
    for (j = 0; j < h[i].nresize; j++)
      add_size (c, h[i].resize[j]);
  }
  for (i = 0; i < nlives; i++) {
    qsort (c->sizes[i].r, c->sizes[i].n, sizeof (struct resize), by_begin);
    add_shrinks (c, i);
  }
  return c;
}

/* Whether this has not been overwritten.  A shrink does not overwrite itself.
 */
static bool
stands (const struct event *e, uint64_t overwritten)
{
  return (e->end > e->beats ? e->end : e->beats) >= overwritten;
}

static void
judge_read (const struct court *c, const struct seen *s)
{
  const struct log *l = &c->log[s->life][s->reg];
  uint64_t overwritten = 0;     /* everything that ended before this is
                                 * overwritten */
  bool ended_too_early = false;
  size_t i;

  for (i = 0; i < l->n; i++)
    if (l->event[i].sure && l->event[i].end < s->begin &&
        l->event[i].beats > overwritten)
      overwritten = l->event[i].beats;
  for (i = 0; i < l->n; i++)
    if (l->event[i].id == s->id && l->event[i].begin < s->end) {
      if (stands (&l->event[i], overwritten))
        return;
      ended_too_early = true;
    }
  abort_with ("life %u, register %u: a read from %" PRIu64 " to %" PRIu64
              " saw %#" PRIx64 ", which %s", s->life, s->reg, s->begin,
              s->end, s->id,
              ended_too_early ? "had been overwritten" : "nobody had written");
}

/* Whether the register may have had the value at that instant. */
static bool
value_possible_at (const struct log *l, uint64_t id, uint64_t t)
{
  uint64_t overwritten = 0;
  size_t i;

  for (i = 0; i < l->n; i++)
    if (l->event[i].sure && l->event[i].end < t &&
        l->event[i].beats > overwritten)
      overwritten = l->event[i].beats;
  for (i = 0; i < l->n; i++)
    if (l->event[i].id == id && l->event[i].begin < t &&
        stands (&l->event[i], overwritten))
      return true;
  return false;
}

static bool
possible_at (const struct log *l, const struct content *is, uint64_t t)
{
  return value_possible_at (l, is->id, t) &&
    (is->other == is->id || value_possible_at (l, is->other, t));
}

static bool
all_possible_at (const struct court *c, const struct snapshot *s, uint64_t t,
                 unsigned *failed)
{
  unsigned reg;

  /* The one that failed last is most likely to fail again. */
  if (*failed < s->n &&
      !possible_at (&c->log[s->life][*failed], &s->is[*failed], t))
    return false;
  for (reg = 0; reg < s->n; reg++)
    if (!possible_at (&c->log[s->life][reg], &s->is[reg], t)) {
      *failed = reg;
      return false;
    }
  return true;
}

/* The set of possible values changes only just after the times in the history,
 * and time is a counter, so every instant can be tried.
 */
static void
judge_snapshot (const struct court *c, const struct snapshot *s)
{
  unsigned failed = REGISTERS;
  uint64_t t;

  for (t = s->begin + 1; t <= s->end; t++)
    if (all_possible_at (c, s, t, &failed))
      return;
  abort_with ("life %u: the clone made from %" PRIu64 " to %" PRIu64
              " is of no one instant; for one, register %u shows %#" PRIx64,
              s->life, s->begin, s->end, failed, s->is[failed].id);
}

static void
judge_outcome (const struct court *c, const struct outcome *o)
{
  const struct resize *r = c->sizes[o->life].r;
  size_t i, n = c->sizes[o->life].n;

  for (i = 0; i < n; i++) {
    bool possible = r[i].begin < o->end &&
      (i + 1 == n || r[i + 1].end > o->begin);

    if (possible && (o->stop <= r[i].size) == o->ok)
      return;
  }
  abort_with ("life %u: a request up to %" PRIu64 " from %" PRIu64 " to %"
              PRIu64 " %s, but no size of that time allows it", o->life,
              o->stop, o->begin, o->end, o->ok ? "succeeded" : "failed");
}

void
judge (const struct history *h, size_t n, const struct life *life,
       size_t nlives)
{
  struct court *c = gather (h, n, life, nlives);
  size_t i, j;

  for (i = 0; i < n; i++) {
    for (j = 0; j < h[i].nseen; j++)
      judge_read (c, &h[i].seen[j]);
    for (j = 0; j < h[i].noutcome; j++)
      judge_outcome (c, &h[i].outcome[j]);
    for (j = 0; j < h[i].nsnapshot; j++)
      judge_snapshot (c, &h[i].snapshot[j]);
  }
  for (i = 0; i < nlives; i++) {
    for (j = 0; j < REGISTERS; j++)
      free (c->log[i][j].event);
    free (c->sizes[i].r);
  }
  free (c);
}
