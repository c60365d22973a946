/* SPDX-License-Identifier: BSD-3-Clause */
/* What unfinished pushes may have written.  unfinished.h has the design. */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutex.h"
#include "transfer/unfinished.h"

struct push_record {
  struct push_record *next;
  uint64_t since;               /* a disk's id, or 0 */
  char *target;
  bool done;                    /* it matters only to that target */
  struct spans spans;
};

struct unfinished {
  struct mutex lock;
  struct push_record *first GUARDED_BY (lock);
};

/* The first range that does not end before offset. */
static size_t
find (const struct spans *r, uint64_t offset)
{
  size_t low = 0, high = r->n;

  while (low < high) {
    size_t mid = (low + high) / 2;

    if (r->span[mid].end < offset)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

/* Half as many ranges, each with what was between two of them (Z2). */
static void
join (struct spans *r)
{
  size_t i;

  for (i = 0; i + 1 < r->n; i += 2)
    r->span[i / 2] = (struct span) {
      r->span[i].offset, r->span[i + 1].end
    };
  if (i < r->n)
    r->span[i / 2] = r->span[i];
  r->n = (r->n + 1) / 2;
}

int
spans_add (struct spans *r, uint64_t offset, uint64_t end)
{
  size_t at, last;

  if (r->span == NULL) {
    r->span = calloc (SPANS_MOST, sizeof *r->span);
    if (r->span == NULL)
      return -1;
    r->room = SPANS_MOST;
  }
  if (r->n == r->room)
    join (r);
  at = last = find (r, offset);
  while (last < r->n && r->span[last].offset <= end)
    last++;
  if (last > at) {              /* they become one */
    if (r->span[at].offset < offset)
      offset = r->span[at].offset;
    if (r->span[last - 1].end > end)
      end = r->span[last - 1].end;
  }
  memmove (&r->span[at + 1], &r->span[last],
           (r->n - last) * sizeof *r->span);
  r->n = r->n - last + at + 1;
  r->span[at] = (struct span) { offset, end };
  return 0;
}

void
spans_free (struct spans *r)
{
  free (r->span);
  *r = (struct spans) { .n = 0 };
}

struct unfinished *
unfinished_new (void)
{
  struct unfinished *u = calloc (1, sizeof *u);

  if (u)
    mutex_init (&u->lock);
  return u;
}

static void
record_drop (struct push_record **at)
{
  struct push_record *p = *at;

  *at = p->next;
  spans_free (&p->spans);
  free (p->target);
  free (p);
}

void
unfinished_free (struct unfinished *u)
{
  if (u == NULL)
    return;
  while (u->first)
    record_drop (&u->first);
  mutex_destroy (&u->lock);
  free (u);
}

int
unfinished_get (struct unfinished *u, uint64_t since, const char *target,
                struct spans *r)
{
  const struct push_record *p;
  int ret = 0;
  size_t i;

  *r = (struct spans) { .n = 0 };
  mutex_lock (&u->lock);
  for (p = u->first; p; p = p->next)
    if ((p->since == 0 || p->since == since) &&
        ((p->since && !p->done) || strcmp (p->target, target) == 0))
      for (i = 0; i < p->spans.n && ret == 0; i++)
        ret = spans_add (r, p->spans.span[i].offset, p->spans.span[i].end);
  mutex_unlock (&u->lock);
  return ret;
}

static struct push_record *
record_new_locked (struct unfinished *u, uint64_t since, const char *target)
  REQUIRES (u->lock)
{
  struct push_record *p = calloc (1, sizeof *p);

  if (p == NULL)
    return NULL;
  p->since = since;
  p->target = strdup (target);
  if (p->target == NULL) {
    free (p);
    return NULL;
  }
  p->next = u->first;
  u->first = p;
  return p;
}

/* The record of a push, which may be a new one.  NULL: no memory. */
static struct push_record *
record_locked (struct unfinished *u, uint64_t since, const char *target)
  REQUIRES (u->lock)
{
  struct push_record **at, **last = NULL;
  size_t n = 0;

  for (at = &u->first; *at; at = &(*at)->next) {
    if ((*at)->since != since)
      continue;
    if (strcmp ((*at)->target, target) == 0)
      return *at;
    last = at;
    n++;
  }
  if (since == 0 && n >= UNFINISHED_MOST_WHOLE)
    record_drop (last);
  else if (since != 0 && n >= UNFINISHED_MOST) {
    *(*last)->target = '\0';    /* no target's name: it stays with `since` */
    return *last;
  }
  return record_new_locked (u, since, target);
}

int
unfinished_add (struct unfinished *u, uint64_t since, const char *target,
                uint64_t offset, uint64_t end)
{
  struct push_record *p;
  int r = -1;

  mutex_lock (&u->lock);
  p = record_locked (u, since, target);
  if (p) {
    p->done = false;
    r = spans_add (&p->spans, offset, end);
  }
  mutex_unlock (&u->lock);
  return r;
}

void
unfinished_done (struct unfinished *u, uint64_t since, const char *target)
{
  struct push_record **at;

  mutex_lock (&u->lock);
  for (at = &u->first; *at; ) {
    bool same = strcmp ((*at)->target, target) == 0;

    if (same && (since == 0 || (*at)->since == 0))
      record_drop (at);
    else {
      (*at)->done |= same && (*at)->since == since;
      at = &(*at)->next;
    }
  }
  mutex_unlock (&u->lock);
}

void
unfinished_forget (struct unfinished *u, uint64_t since)
{
  struct push_record **at;

  mutex_lock (&u->lock);
  for (at = &u->first; *at; )
    if ((*at)->since == since)
      record_drop (at);
    else
      at = &(*at)->next;
  mutex_unlock (&u->lock);
}
