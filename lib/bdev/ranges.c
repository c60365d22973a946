/* SPDX-License-Identifier: BSD-3-Clause */
/* The range lock; ranges.h has the invariants. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "bdev/ranges.h"

void
ranges_init (struct ranges *r)
{
  mutex_init (&r->lock);
  r->first = r->last = NULL;
}

void
ranges_destroy (struct ranges *r)
{
  if (r->first)
    abort ();
  mutex_destroy (&r->lock);
}

static bool
conflict (const struct range *a, const struct range *b)
{
  return a->offset < b->end && b->offset < a->end &&
    (a->mode == RANGE_EXCLUSIVE || b->mode == RANGE_EXCLUSIVE);
}

static void
set (struct range *range, uint64_t offset, uint64_t count,
     enum range_mode mode)
{
  range->offset = offset;
  range->end = count > UINT64_MAX - offset ? UINT64_MAX : offset + count;
  range->mode = mode;
  range->sleeps = false;
}

static unsigned
count_blockers (const struct ranges *r, const struct range *range)
  REQUIRES (&r->lock)
{
  const struct range *q;
  unsigned n = 0;

  for (q = r->first; q && q != range; q = q->next)
    n += conflict (q, range);
  return n;
}

static void
append (struct ranges *r, struct range *range) REQUIRES (&r->lock)
{
  range->prev = r->last;
  range->next = NULL;
  if (r->last)
    r->last->next = range;
  else
    r->first = range;
  r->last = range;
}

void
ranges_lock (struct ranges *r, struct range *range, uint64_t offset,
             uint64_t count, enum range_mode mode)
{
  set (range, offset, count, mode);
  mutex_lock (&r->lock);
  range->blockers = count_blockers (r, range);
  append (r, range);
  if (range->blockers) {
    range->sleeps = true;
    if (pthread_cond_init (&range->granted, NULL))
      abort ();
    while (range->blockers)
      pthread_cond_wait (&range->granted, &r->lock.m);
    pthread_cond_destroy (&range->granted);
    range->sleeps = false;
  }
  mutex_unlock (&r->lock);
}

bool
ranges_try_lock (struct ranges *r, struct range *range, uint64_t offset,
                 uint64_t count, enum range_mode mode)
{
  bool taken;

  set (range, offset, count, mode);
  range->blockers = 0;
  mutex_lock (&r->lock);
  taken = count_blockers (r, range) == 0;
  if (taken)
    append (r, range);
  mutex_unlock (&r->lock);
  return taken;
}

void
ranges_unlock (struct ranges *r, struct range *range)
{
  struct range *q;

  mutex_lock (&r->lock);
  for (q = range->next; q; q = q->next)
    if (conflict (range, q) && --q->blockers == 0 && q->sleeps)
      /* With the lock held: q is on its thread's stack. */
      pthread_cond_signal (&q->granted);
  if (range->prev)
    range->prev->next = range->next;
  else
    r->first = range->next;
  if (range->next)
    range->next->prev = range->prev;
  else
    r->last = range->prev;
  mutex_unlock (&r->lock);
}

void
ranges_count (struct ranges *r, unsigned *granted, unsigned *waiting)
{
  const struct range *q;

  *granted = *waiting = 0;
  mutex_lock (&r->lock);
  for (q = r->first; q; q = q->next)
    ++*(q->blockers ? waiting : granted);
  mutex_unlock (&r->lock);
}

static void
broken (const char *what)
{
  fprintf (stderr, "range lock: %s\n", what);
  abort ();
}

void
ranges_check (struct ranges *r)
{
  const struct range *a, *b;

  mutex_lock (&r->lock);
  for (a = r->first; a; a = a->next) {
    if (a->blockers != count_blockers (r, a))
      broken ("a count of blockers is wrong");
    for (b = a->next; b; b = b->next)
      if (a->blockers == 0 && b->blockers == 0 && conflict (a, b))
        broken ("R1: two ranges that conflict are granted");
  }
  mutex_unlock (&r->lock);
}
