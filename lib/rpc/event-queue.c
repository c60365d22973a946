/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of events from any thread to the control thread. */

#include <config.h>

#include <stdlib.h>

#include "rpc/event-queue.h"

void
event_queue_init (struct event_queue *q)
{
  mutex_init (&q->lock);
  q->last = &q->first;
}

void
event_free (struct event *e)
{
  free (e->line);
  free (e);
}

void
event_queue_end (struct event_queue *q)
{
  struct event *e, *next;

  for (e = event_queue_take (q); e; e = next) {
    next = e->next;
    event_free (e);
  }
  mutex_destroy (&q->lock);
}

void
event_queue_add (struct event_queue *q, uint32_t kind, char *line, size_t len)
{
  struct event *e = line ? malloc (sizeof *e) : NULL;

  if (e == NULL) {
    atomic_fetch_add_explicit (&q->dropped, 1, memory_order_relaxed);
    free (line);
    return;
  }
  *e = (struct event) { .kind = kind, .line = line, .len = len };
  mutex_lock (&q->lock);
  *q->last = e;
  q->last = &e->next;
  mutex_unlock (&q->lock);
}

struct event *
event_queue_take (struct event_queue *q)
{
  struct event *e;

  mutex_lock (&q->lock);
  e = q->first;
  q->first = NULL;
  q->last = &q->first;
  mutex_unlock (&q->lock);
  return e;
}

uint64_t
event_queue_dropped (struct event_queue *q)
{
  return atomic_exchange_explicit (&q->dropped, 0, memory_order_relaxed);
}
