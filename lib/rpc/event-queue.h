/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of events from any thread to the control thread.
 *
 * Thread-safety
 *   from any thread, takes the lock inside:  event_queue_add
 *   one thread, takes the lock inside:       event_queue_take,
 *                                            event_queue_dropped
 *   no other call at that time:              event_queue_init, event_queue_end
 */

#ifndef MBLOCK_EVENT_QUEUE_H
#define MBLOCK_EVENT_QUEUE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"

struct event {
  struct event *next;
  uint32_t kind;                /* a bit */
  size_t len;
  char *line;                   /* with its "\n" */
};

struct event_queue {
  _Atomic uint64_t dropped;     /* events that were lost: no memory */
  struct mutex lock;            /* a leaf: no lock is taken inside */
  struct event *first GUARDED_BY (lock), **last GUARDED_BY (lock);
};

void event_queue_init (struct event_queue *q);

/* Frees the events that are still queued. */
void event_queue_end (struct event_queue *q);

/* Takes over the line.  NULL means that there was no memory for it, and counts
 * as lost.
 */
void event_queue_add (struct event_queue *q, uint32_t kind, char *line,
                      size_t len);

/* Take all queued events, oldest first; each is freed with event_free. */
struct event *event_queue_take (struct event_queue *q);
void event_free (struct event *e);

/* How many events were lost since the last call. */
uint64_t event_queue_dropped (struct event_queue *q);

#endif /* MBLOCK_EVENT_QUEUE_H */
